package import StrictJSON

/// HTTP methods that PVE's API knows.
package enum CallMethod: String, Sendable, Hashable {
    case get = "GET"
    case post = "POST"
    case put = "PUT"
    case delete = "DELETE"
}

/// One exact call to PVE, below `/api2/json`.
package struct Call: Sendable {
    package typealias Parameter = (name: String, value: Value)

    package enum Value: Sendable {
        case text(String)
        /// An array: PVE takes the parameter once for each.
        case list([String])
        case secret(Secret)
        /// The digest of the object as it is when the plan is applied; PVE refuses when it has changed since.
        case observedDigest
    }

    package let method: CallMethod
    /// Decoded path segments; an adapter encodes each one.
    package let path: [String]
    package let parameters: [Parameter]
    /// PVE's types of task (`qmstart`; `hastart` where HA manages the guest), one of which the call starts. Empty where
    /// it is done when it is answered.
    package let taskTypes: [String]
    /// What the task's id in its UPID is, such as `101`; `nil` where that cannot be told beforehand.
    package let taskID: String?
    /// The compared fields of the observed state that the call itself moves: the next call of the plan finds them
    /// changed, and no others.
    package let expectedDrift: [String]

    /// PVE answers with a task, and nothing is done before that has ended.
    package var startsTask: Bool { !taskTypes.isEmpty }

    package init(
        _ method: CallMethod, _ path: [String], _ parameters: [Parameter] = [], tasks: [String] = [],
        taskID: String? = nil, expectedDrift: [String] = []
    ) {
        self.method = method
        self.path = path
        self.parameters = parameters
        taskTypes = tasks
        self.taskID = taskID
        self.expectedDrift = expectedDrift
    }

    /// The call with `digest` where its place is; without the parameter where there is none.
    package func filled(digest: String?) -> Call {
        with(
            parameters.compactMap { parameter in
                guard case .observedDigest = parameter.value else { return parameter }
                return digest.map { (name: parameter.name, value: .text($0)) }
            })
    }

    /// Whether a parameter is a secret, also one that has been erased.
    package var carriesSecret: Bool {
        parameters.contains { if case .secret = $0.value { true } else { false } }
    }

    /// The call with nothing left of its secrets.
    func withoutSecrets() -> Call {
        with(
            parameters.map { parameter in
                guard case .secret = parameter.value else { return parameter }
                return (name: parameter.name, value: Value.secret(Secret("")))
            })
    }

    /// The call with other parameters.
    package func with(_ parameters: [Parameter]) -> Call {
        Call(method, path, parameters, tasks: taskTypes, taskID: taskID, expectedDrift: expectedDrift)
    }

    /// The text that goes out under `name`; `nil` for none, for lists and for what is not to be seen.
    package subscript(name: String) -> String? {
        for parameter in parameters where parameter.name == name {
            if case .text(let text) = parameter.value { return text }
        }
        return nil
    }

    /// The path for people, percent-encoded only where a segment holds a slash.
    package var shownPath: String {
        path.map { "/" + $0.split(separator: "/", omittingEmptySubsequences: false).joined(separator: "%2F") }.joined()
    }

    /// PVE's parameters for people: secrets stand as `<redacted>`.
    package var shownParameters: JSONObject {
        var shown = JSONObject()
        for (name, value) in parameters {
            switch value {
            case .text(let text): shown.append(name, .string(text))
            case .list(let texts): shown.append(name, JSON(texts))
            case .secret(let secret): shown.append(name, .string(secret.description))
            case .observedDigest: shown.append(name, "<observed>")
            }
        }
        return shown
    }

    /// The numbers of all guests that the call names, in its path or its parameters.
    package var guestIDs: Set<VMID> {
        var ids: Set<VMID> = []
        if path.count > 3, path[0] == "nodes", GuestKind(rawValue: path[2]) != nil, let id = VMID(path[3]) {
            ids.insert(id)
        }
        if path.count > 3, path[1] == "ha", let id = path[3].split(separator: ":").last.flatMap({ VMID($0) }) {
            ids.insert(id)
        }
        for (name, value) in parameters
        where ["vmid", "newid", "vms", "target-vmid", "sid", "resources"].contains(name) {
            let texts: [String] =
                switch value {
                case .text(let text): text.split(whereSeparator: { ",; ".contains($0) }).map(String.init)
                case .list(let texts): texts
                case .secret, .observedDigest: []
                }
            ids.formUnion(texts.compactMap { $0.split(separator: ":").last.flatMap { VMID($0) } })
        }
        return ids
    }
}
