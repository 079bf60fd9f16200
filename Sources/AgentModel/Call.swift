package import StrictJSON

/// HTTP methods that PVE's API knows.
package enum CallMethod: String, Sendable, Hashable, CaseIterable {
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
        /// An array: PVE takes the parameter once for each value.
        case list([String])
        case secret(Secret)
        /// The object's digest at the time the plan is applied. PVE refuses the call if the object has changed since.
        case observedDigest
    }

    package let method: CallMethod
    /// Decoded path segments; an adapter encodes each one.
    package let path: [String]
    package let parameters: [Parameter]
    /// The types of PVE task (`qmstart`; `hastart` where HA manages the guest), one of which the call starts. Empty for
    /// a call that is done when PVE answers.
    package let taskTypes: [String]
    /// The id within the task's UPID, such as `101`; `nil` if it cannot be known beforehand.
    package let taskID: String?
    /// The compared fields of the observed state that the call itself changes. Before the next call of the plan, only
    /// these fields may differ.
    package let expectedDrift: [String]

    /// PVE answers with a task, and the call is done only when that task has ended.
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

    /// The call with `digest` in its place; without the parameter if `digest` is `nil`.
    package func filled(digest: String?) -> Call {
        with(
            parameters.compactMap { parameter in
                guard case .observedDigest = parameter.value else { return parameter }
                return digest.map { (name: parameter.name, value: .text($0)) }
            })
    }

    /// Whether any parameter is a secret, including an erased one.
    package var carriesSecret: Bool {
        parameters.contains { if case .secret = $0.value { true } else { false } }
    }

    /// The call with its secrets erased.
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

    /// The text that is sent under `name`; `nil` if there is none, and for lists and secrets.
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

    /// PVE's parameters for people, with `<redacted>` in place of secrets.
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
