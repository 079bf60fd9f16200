import StrictJSON

/// What a recorded exchange tells about Proxmox VE: what to send, and the form of what comes back. No bodies.
struct RecordedExchange: Hashable, Sendable {
    var name: String
    /// `token:root@pam!t1`, `none`, …
    var auth: String
    var method: String
    /// Path with query; `{upid:CASE}` and `{digest:CASE}` stand for what the answer of an earlier case holds.
    var path: String
    var contentType: String?
    var body: String?
    var headers: [[String]]
    var isWrongSecret: Bool
    var status: Int
    var reason: String
    /// Names of the parameters that an answer complains about.
    var errors: [String]
    /// `null`, `string`, `object`, `list`, …; `none` without a body and `text` for one that is no JSON.
    var shape: String
    /// Names and types of the members; for a list, of all its rows together.
    var keys: [String: String]
    /// The exit status of the task it started, where it was waited for.
    var exit: String?
    /// Whether the answer comes from a gap of the recorded installation, not from Proxmox VE as users run it.
    var isNodeLimit = false

    var json: JSON {
        [
            "case": .string(name), "auth": .string(auth), "method": .string(method), "path": .string(path),
            "type": contentType.map { .string($0) }, "body": body.map { .string($0) },
            "headers": headers.isEmpty ? .none : .some(.array(headers.map { JSON($0) })),
            "wrong_secret": isWrongSecret ? .some(true) : .none, "status": JSON(status), "reason": .string(reason),
            "errors": errors.isEmpty ? .none : .some(JSON(errors)), "shape": .string(shape),
            "keys": keys.isEmpty

                ? .none
                : .some(
                    .object(
                        keys.sorted { $0.key < $1.key }.reduce(into: JSONObject()) { $0[$1.key] = .string($1.value) })),
            "exit": exit.map { .string($0) }, "node_limit": isNodeLimit ? .some(true) : .none,
        ]
    }

    init?(_ json: JSON) {
        guard let name = json["case"]?.string, let auth = json["auth"]?.string, let method = json["method"]?.string,
            let path = json["path"]?.string, let status = json["status"]?.integer, let reason = json["reason"]?.string,
            let shape = json["shape"]?.string
        else { return nil }
        self.init(
            name: name, auth: auth, method: method, path: path, contentType: json["type"]?.string,
            body: json["body"]?.string, headers: Self.pairs(json["headers"]),
            isWrongSecret: json["wrong_secret"] == true, status: Int(status), reason: reason,
            errors: json["errors"]?.array?.compactMap(\.string) ?? [], shape: shape,
            keys: json["keys"]?.object?.members.reduce(into: [:]) { $0[$1.key] = $1.value.string } ?? [:],
            exit: json["exit"]?.string, isNodeLimit: json["node_limit"] == true)
    }

    init(
        name: String, auth: String, method: String, path: String, contentType: String?, body: String?,
        headers: [[String]], isWrongSecret: Bool, status: Int, reason: String, errors: [String], shape: String,
        keys: [String: String], exit: String?, isNodeLimit: Bool = false
    ) {
        self.name = name
        self.auth = auth
        self.method = method
        self.path = path
        self.contentType = contentType
        self.body = body
        self.headers = headers
        self.isWrongSecret = isWrongSecret
        self.status = status
        self.reason = reason
        self.errors = errors
        self.shape = shape
        self.keys = keys
        self.exit = exit
        self.isNodeLimit = isNodeLimit
    }

    static func pairs(_ json: JSON?) -> [[String]] {
        json?.array?.map { $0.array?.compactMap(\.string) ?? [] } ?? []
    }

    /// What the two answers differ in, in words; empty where they agree.
    func difference(from answer: RecordedExchange) -> String {
        var parts: [String] = []
        if status != answer.status { parts.append("status \(answer.status), recorded \(status)") }
        if reason != answer.reason { parts.append("reason '\(answer.reason)', recorded '\(reason)'") }
        if errors != answer.errors { parts.append("errors \(answer.errors), recorded \(errors)") }
        if shape != answer.shape { parts.append("shape \(answer.shape), recorded \(shape)") }
        for key in Set(keys.keys).union(answer.keys.keys).sorted() where keys[key] != answer.keys[key] {
            parts.append("\(key): \(answer.keys[key] ?? "missing"), recorded \(keys[key] ?? "missing")")
        }
        if exit != answer.exit { parts.append("exit '\(answer.exit ?? "-")', recorded '\(exit ?? "-")'") }
        return parts.joined(separator: "; ")
    }
}

/// The form of an answer's body.
enum Form {
    static func shape(of body: JSON) -> String {
        switch body {
        case .string(let text): text.isEmpty ? "none" : "text"
        case .object(let object): object["data"].map { type(of: $0) } ?? "object without data"
        default: "other"
        }
    }

    static func type(of value: JSON) -> String {
        switch value {
        case .null: "null"
        case .bool: "boolean"
        case .integer, .number: "number"
        case .string: "string"
        case .array: "list"
        case .object: "object"
        }
    }

    /// Names and types of members, of members of members, and of the rows of a list together.
    static func keys(of body: JSON) -> [String: String] {
        var types: [String: Set<String>] = [:]
        // What stands beside `data` is marked, so that no member can be taken for it.
        for member in body.object?.members ?? [] where member.key != "data" {
            types["+" + member.key] = [type(of: member.value)]
        }
        switch body["data"] {
        case .array(let rows)?:
            for row in rows {
                if let object = row.object {
                    collect(object, "", &types)
                } else {
                    types["[]", default: []].insert(type(of: row))
                }
            }
        case .object(let object)?: collect(object, "", &types)
        default: break
        }
        return types.mapValues { $0.sorted().joined(separator: "|") }
    }

    private static func collect(_ object: JSONObject, _ prefix: String, _ types: inout [String: Set<String>]) {
        for member in object.members {
            types[prefix + member.key, default: []].insert(type(of: member.value))
            // Below a path or a name that somebody chose, there are no keys to compare.
            if prefix.isEmpty, let inner = member.value.object, !member.key.hasPrefix("/") {
                collect(inner, member.key + ".", &types)
            }
        }
    }

    static func errors(of body: JSON) -> [String] { body["errors"]?.object?.keys.sorted() ?? [] }

    /// A text without the parts that differ from run to run.
    static func normalised(_ text: String) -> String {
        text.split(separator: " ", omittingEmptySubsequences: false).map { word in
            if word.hasPrefix("UPID:") { return "{upid}" }
            if let temporary = word.firstRange(of: ".conf.tmp.") { return "\(word[..<temporary.upperBound]){pid}'" }
            let isDigest = word.count == 40 && word.allSatisfy(\.isHexDigit)
            return isDigest ? "{digest}" : String(word)
        }.joined(separator: " ")
    }

    /// The digest that an answer gives for what it shows.
    static func digest(in body: JSON) -> String? {
        switch body["data"] {
        case .object(let object)?: object["digest"]?.string
        case .array(let rows)?:
            rows.lazy.compactMap { row in
                row["key"] == "digest" ? row["value"]?.string : row["digest"]?.string
            }.first
        default: nil
        }
    }
}
