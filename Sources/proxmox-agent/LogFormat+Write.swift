import Logging
import StrictJSON

/// Builds a line: `begin`, any number of `add`, `end`.
extension AgentConfig.LogFormat {
    func begin(_ time: String, _ level: Logger.Level, _ message: String, _ out: inout [UInt8]) {
        switch self {
        case .json:
            out.append(contentsOf: "{\"ts\":\"".utf8)
            out.append(contentsOf: time.utf8)
            out.append(contentsOf: "\",\"level\":\"".utf8)
            out.append(contentsOf: level.rawValue.utf8)
            out.append(contentsOf: "\",\"msg\":".utf8)
            JSON.writeString(message, to: &out)
        case .text:
            out.append(contentsOf: time.utf8)
            out.append(UInt8(ascii: " "))
            out.append(contentsOf: level.rawValue.utf8)
            out.append(UInt8(ascii: " "))
            out.append(contentsOf: quoted(message).utf8)
        }
    }

    func add(_ key: String, _ value: String, _ out: inout [UInt8]) {
        addKey(key, &out)
        switch self {
        case .json: JSON.writeString(value, to: &out)
        case .text:
            let plain = !value.isEmpty && value.utf8.allSatisfy { $0 > 0x20 && $0 != 0x22 && $0 < 0x7F }
            if plain { out.append(contentsOf: value.utf8) } else { JSON.writeString(quoted(value), to: &out) }
        }
    }

    func add(_ key: String, _ value: Int, _ out: inout [UInt8]) {
        addKey(key, &out)
        out.append(contentsOf: String(value).utf8)
    }

    func end(_ out: inout [UInt8]) {
        if self == .json { out.append(UInt8(ascii: "}")) }
        out.append(UInt8(ascii: "\n"))
    }

    private func addKey(_ key: String, _ out: inout [UInt8]) {
        switch self {
        case .json:
            out.append(UInt8(ascii: ","))
            JSON.writeString(key, to: &out)
            out.append(UInt8(ascii: ":"))
        case .text:
            out.append(UInt8(ascii: " "))
            out.append(contentsOf: key.utf8)
            out.append(UInt8(ascii: "="))
        }
    }
}
