import FoundationEssentials
import HTTPMessage
import StrictJSON
import Testing

@testable import ProxmoxVE

/// Exchanges recorded with a Proxmox VE node, where they lie beside the checkout.
private let recordings: [JSON] = {
    let root = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    let path = "/\(root)/../shared/pve-recordings/pve-9.2-exchanges.jsonl"
    guard let data = FileManager.default.contents(atPath: path) else { return [] }
    return [UInt8](data).split(separator: UInt8(ascii: "\n")).compactMap { try? JSON.parse(Array($0)) }
}()

@Suite(.enabled(if: !recordings.isEmpty, "no recordings beside the checkout")) struct RecordingTests {
    /// The answer of `recording` as the transport would give it; `nil` where only the parsed body was kept shortened.
    private func answer(_ recording: JSON) throws -> IncomingResponse {
        let response = try #require(recording["response"])
        let body = try #require(response["body"])
        return IncomingResponse(
            status: Int(try #require(response["status_code"]?.integer)),
            reason: try #require(response["reason"]?.string),
            body: body.string.map { Array($0.utf8) } ?? body.bytes)
    }

    @Test func `every recorded success has data`() throws {
        var count = 0
        for recording in recordings where recording["response"]?["status_code"] == 200 {
            guard recording["request"]?["path"]?.string?.hasPrefix("/api2/json/") == true else { continue }
            let answer = try answer(recording)
            let reply = try PVEReply(answer.body)
            #expect(reply.data == recording["response"]?["body"]?["data"])
            count += 1
        }
        #expect(count > 500)
    }

    @Test func `every recorded refusal keeps its reason, and its message says the same`() throws {
        var count = 0
        for recording in recordings {
            let answer = try answer(recording)
            guard answer.status >= 300 else { continue }
            let refusal = PVERefusal(answer)
            let name = recording["name"]?.string ?? ""
            #expect(refusal.reason == answer.reason, "\(name)")
            #expect(!refusal.reason.isEmpty, "\(name)")
            #expect(!refusal.isFromGateway, "\(name)")
            let listed = recording["response"]?["body"]?["errors"]?.object?.count ?? 0
            #expect(refusal.errors.count == listed, "\(name)")
            if let message = refusal.message {
                let firstLine = message.prefix { !$0.isNewline }
                #expect(refusal.reason.hasPrefix(firstLine.prefix(200)), "\(name)")
            }
            count += 1
        }
        #expect(count > 300)
    }

    @Test func `recorded paths are what the path builder writes`() throws {
        for recording in recordings {
            guard let path = recording["request"]?["path"]?.string, path.contains("/content/local%3A") else { continue }
            let parts = path.split(separator: "/").dropFirst(2)
            let rest = String(try #require(parts.last)).replacing("%3A", with: ":").replacing("%2F", with: "/")
            let built = try PVEPath(
                "nodes", parts.dropFirst().prefix(1).joined(), "storage", "local", "content", rest: rest)
            #expect("/api2/json" + built.encoded == path)
        }
    }
}
