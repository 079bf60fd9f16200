package import StrictJSON

/// HTTP methods that PVE's API knows.
package enum CallMethod: String, Sendable, Hashable {
    case get = "GET"
    case post = "POST"
    case put = "PUT"
    case delete = "DELETE"
}

/// A call of a catalogue entry, with `{node}`, `{kind}`, `{vmid}` and `{upid}` to be filled from the target.
package struct CallTemplate: Sendable, Hashable {
    package let method: CallMethod
    package let path: String

    init(_ method: CallMethod, _ path: String) {
        self.method = method
        self.path = path
    }
}

/// One exact call to PVE, below `/api2/json`.
package struct Call: Sendable {
    package enum Value: Sendable {
        case text(String)
        case secret(Secret)
    }

    package let method: CallMethod
    /// Decoded path segments; an adapter encodes each one.
    package let path: [String]
    package let parameters: [(name: String, value: Value)]

    package init(_ method: CallMethod, _ path: [String], _ parameters: [(name: String, value: Value)] = []) {
        self.method = method
        self.path = path
        self.parameters = parameters
    }

    /// The path for people, percent-encoded only where a segment holds a slash.
    package var shownPath: String {
        path.map { "/" + $0.split(separator: "/", omittingEmptySubsequences: false).joined(separator: "%2F") }.joined()
    }

    /// As previews, hashes and records show it: secrets stand as `<redacted>`.
    package var json: JSON {
        var shown = JSONObject()
        for (name, value) in parameters {
            switch value {
            case .text(let text): shown[name] = .string(text)
            case .secret(let secret): shown[name] = .string(secret.description)
            }
        }
        return ["method": .string(method.rawValue), "path": .string(shownPath), "params": .object(shown)]
    }
}
