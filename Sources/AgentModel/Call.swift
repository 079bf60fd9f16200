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
        /// The digest of the object as it is when the plan is applied; PVE refuses when it has changed since.
        case observedDigest
    }

    package let method: CallMethod
    /// Decoded path segments; an adapter encodes each one.
    package let path: [String]
    package let parameters: [(name: String, value: Value)]
    /// PVE answers with a task, and nothing is done before that has ended.
    package let startsTask: Bool

    package init(
        _ method: CallMethod, _ path: [String], _ parameters: [(name: String, value: Value)] = [],
        startsTask: Bool = false
    ) {
        self.method = method
        self.path = path
        self.parameters = parameters
        self.startsTask = startsTask
    }

    /// The call with `digest` where its place is; without the parameter where there is none.
    package func filled(digest: String?) -> Call {
        let filled = parameters.compactMap { parameter -> (name: String, value: Value)? in
            guard case .observedDigest = parameter.value else { return parameter }
            return digest.map { (name: parameter.name, value: .text($0)) }
        }
        return Call(method, path, filled, startsTask: startsTask)
    }

    /// The call with nothing left of its secrets.
    func withoutSecrets() -> Call {
        let kept = parameters.map { parameter in
            guard case .secret = parameter.value else { return parameter }
            return (name: parameter.name, value: Value.secret(Secret("")))
        }
        return Call(method, path, kept, startsTask: startsTask)
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
            case .text(let text): shown.append(name, .string(text))
            case .secret(let secret): shown.append(name, .string(secret.description))
            case .observedDigest: shown.append(name, "<observed>")
            }
        }
        return ["method": .string(method.rawValue), "path": .string(shownPath), "params": .object(shown)]
    }
}
