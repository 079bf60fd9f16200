import StrictJSON

/// Users, groups, roles and what they may do where, as their administration shows them. What a caller may do follows
/// from the tokens that the simulator was given, not from these.
struct Directory: Sendable {
    struct User: Sendable {
        var fields: [String: String] = [:]
        var groups: Set<String> = []
        /// Their options by name.
        var tokens: [String: [String: String]] = [:]
    }

    /// What somebody may do on a path and below it.
    struct Grant: Sendable, Hashable {
        var path: String
        /// `user`, `group` or `token`.
        var kind: String
        var name: String
        var role: String
        var isPropagated = true
    }

    var users: [String: User] = [:]
    /// Comments by name.
    var groups: [String: String] = [:]
    var roles: [String: Set<String>] = [:]
    var grants: [Grant] = []
}

private let userOptions = """
     comment:str(..2048) email:str(..254) enable:bool expire:int(0..) firstname:str(..1024) groups:groupid-list keys:keys
     lastname:str(..1024)
    """
private let token = "access/users/{userid}/token/{tokenid}"

let accessAdminEndpoints: [Endpoint] = [
    .change("POST", "access/users", "userid!:str(..64) password:str(8..64)" + userOptions) { world, call in
        let id = call.text("userid")
        guard let at = id.lastIndex(of: "@"), at != id.startIndex else {
            throw Failure("value '\(id)' does not look like a valid user name")
        }
        let realm = "/access/realm/\(id[id.index(after: at)...])"
        guard call.caller.may("Realm.AllocateUser", on: realm) else {
            throw Failure.denied("\(realm), Realm.AllocateUser")
        }
        guard world.directory.users[id] == nil else { throw Failure("create user failed: user '\(id)' already exists") }
        var user = Directory.User()
        user.take(call)
        world.directory.users[id] = user
    },
    .get("access/users/{userid}") { world, call in .object(try world.user(call).json) },
    .change("PUT", "access/users/{userid}", "append:bool^groups" + userOptions) { world, call in
        var user = try world.user(call)
        user.take(call)
        world.directory.users[call.text("userid")] = user
    },
    .change("DELETE", "access/users/{userid}") { world, call in
        _ = try world.user(call)
        let id = call.text("userid")
        world.directory.users[id] = nil
        world.directory.grants.removeAll { $0.name == id || $0.name.hasPrefix(id + "!") }
    },
    .post(token, "comment:str expire:int(0..) privsep:bool") { world, call in
        var user = try world.user(call)
        guard user.tokens[call.text("tokenid")] == nil else {
            throw Failure.parameters(["tokenid": "Token already exists."])
        }
        let sent = call.values.filter { $0.key != "userid" && $0.key != "tokenid" }
        user.tokens[call.text("tokenid")] = ["privsep": "1", "expire": "0"].merging(sent) { $1 }
        world.directory.users[call.text("userid")] = user
        let info = sent.sorted { $0.key < $1.key }.reduce(into: JSONObject()) { $0[$1.key] = .string($1.value) }
        return .data([
            "full-tokenid": .string(call.fullToken), "info": .object(info), "value": .string(world.random.uuid()),
        ])
    },
    .put(token, "comment:str delete:configid-list expire:int(0..) privsep:bool") { world, call in
        let name = call.text("tokenid")
        var user = try world.user(call)
        guard var options = user.tokens[name] else { throw call.noSuchToken }
        for key in Format.list(call.text("delete")) { options[key] = nil }
        let sent = call.values.filter { ["comment", "expire", "privsep"].contains($0.key) }
        options.merge(sent) { $1 }
        user.tokens[name] = options
        world.directory.users[call.text("userid")] = user
        // What was just sent comes back as it came.
        var row = Directory.row(options)
        for (key, value) in sent { row[key] = .string(value) }
        return .object(row)
    },
    .change("DELETE", token) { world, call in
        guard world.directory.users[call.text("userid")]?.tokens.removeValue(forKey: call.text("tokenid")) != nil else {
            throw call.noSuchToken
        }
        world.directory.grants.removeAll { $0.name == call.fullToken }
    },
    .change("POST", "access/groups", "comment:str groupid!:groupid", needs: "/access/groups Group.Allocate") {
        world, call in
        let id = call.text("groupid")
        guard world.directory.groups[id] == nil else {
            throw Failure("create group failed: group '\(id)' already exists")
        }
        world.directory.groups[id] = call.text("comment")
    },
    .get("access/groups/{groupid}", needs: "/access/groups Sys.Audit|Group.Allocate") { world, call in
        let id = call.text("groupid")
        guard let comment = world.directory.groups[id] else { throw Failure("group '\(id)' does not exist") }
        let members = world.directory.users.filter { $0.value.groups.contains(id) }.keys.sorted()
        return .data(["comment": comment.isEmpty ? .none : .some(.string(comment)), "members": JSON(members)])
    },
    .change("PUT", "access/groups/{groupid}", "comment:str", needs: "/access/groups Group.Allocate") { world, call in
        let id = call.text("groupid")
        guard world.directory.groups[id] != nil else {
            throw Failure("update group failed: group '\(id)' does not exist")
        }
        world.directory.groups[id] = call.text("comment")
    },
    .change("DELETE", "access/groups/{groupid}", needs: "/access/groups Group.Allocate") { world, call in
        let id = call.text("groupid")
        guard world.directory.groups.removeValue(forKey: id) != nil else {
            throw Failure("delete group failed: group '\(id)' does not exist")
        }
        for user in world.directory.users.keys { world.directory.users[user]?.groups.remove(id) }
    },
    .change("POST", "access/roles", "privs:privileges roleid!:roleid", needs: "/access Sys.Modify") { world, call in
        let id = call.text("roleid")
        guard world.role(id) == nil else { throw Failure("create role failed: role '\(id)' already exists") }
        world.directory.roles[id] = Set(Format.list(call.text("privs")))
    },
    .get("access/roles/{roleid}") { world, call in
        guard let privileges = world.role(call.text("roleid")) else {
            throw Failure("role '\(call.text("roleid"))' does not exist")
        }
        return .object(privileges.sorted().reduce(into: JSONObject()) { $0[$1] = 1 })
    },
    .change("PUT", "access/roles/{roleid}", "append:bool^privs privs:privileges", needs: "/access Sys.Modify") {
        world, call in
        let id = call.text("roleid")
        guard let before = world.directory.roles[id] else {
            throw Failure(
                world.role(id) == nil ? "role '\(id)' does not exist" : "auto-generated role '\(id)' cannot be modified"
            )
        }
        world.directory.roles[id] = Set(Format.list(call.text("privs"))).union(call.flag("append") ? before : [])
    },
    .change("DELETE", "access/roles/{roleid}", needs: "/access Sys.Modify") { world, call in
        let id = call.text("roleid")
        guard world.directory.roles.removeValue(forKey: id) != nil else {
            throw Failure(
                id.hasPrefix("PVE") || world.role(id) != nil
                    ? "auto-generated role '\(id)' cannot be deleted" : "role '\(id)' does not exist")
        }
    },
    .get("access/acl") { world, call in
        let grants = world.directory.grants.filter {
            call.caller.may(["Sys.Audit", "Permissions.Modify"], on: $0.path)
        }
        return .rows(grants.map(\.json))
    },
    .change(
        "PUT", "access/acl",
        "delete:bool groups:groupid-list path!:str propagate:bool roles!:roleid-list tokens:tokenid-list users:userid-list"
    ) { world, call in try world.grant(call) },
]

extension EndpointCall {
    fileprivate var fullToken: String { "\(text("userid"))!\(text("tokenid"))" }
    fileprivate var noSuchToken: Failure { Failure("no such token '\(text("tokenid"))' for user '\(text("userid"))'") }
}

extension Directory {
    /// The options of a token as they are stored.
    static func row(_ options: [String: String]) -> JSONObject {
        options.sorted { $0.key < $1.key }.reduce(into: JSONObject()) {
            $0[$1.key] = $1.key == "comment" ? .string($1.value) : JSON(Int($1.value) ?? 0)
        }
    }

    func tokenRows(of user: String) -> [JSON] {
        (users[user]?.tokens ?? [:]).sorted { $0.key < $1.key }.map { name, options in
            var row = Self.row(options)
            row["tokenid"] = .string(name)
            return .object(row)
        }
    }
}

extension Directory.User {
    fileprivate mutating func take(_ call: EndpointCall) {
        for key in ["comment", "email", "enable", "expire", "firstname", "keys", "lastname"] {
            fields[key] = call[key] ?? fields[key]
        }
        if let names = call["groups"] { groups = Set(Format.list(names)).union(call.flag("append") ? groups : []) }
    }

    fileprivate var json: JSONObject {
        var row: JSONObject = [
            "enable": JSON(Int(fields["enable"] ?? "1") ?? 1), "expire": JSON(Int(fields["expire"] ?? "0") ?? 0),
            "groups": JSON(groups.sorted()),
            "tokens": tokens.isEmpty
                ? .null
                : .object(
                    tokens.sorted { $0.key < $1.key }.reduce(into: JSONObject()) {
                        $0[$1.key] = .object(Directory.row($1.value))
                    }),
        ]
        for key in ["comment", "email", "firstname", "keys", "lastname"] { row[key] = fields[key].map { .string($0) } }
        return row
    }
}

extension Directory.Grant {
    fileprivate var json: JSON {
        [
            "path": .string(path), "propagate": isPropagated ? 1 : 0, "roleid": .string(role), "type": .string(kind),
            "ugid": .string(name),
        ]
    }
}

extension ClusterState {
    fileprivate func user(_ call: EndpointCall) throws(Failure) -> Directory.User {
        let id = call.text("userid")
        guard id == call.caller.user || call.caller.may(["User.Modify", "Sys.Audit"], on: "/access/groups") else {
            throw .denied("/access/groups, User.Modify")
        }
        if call.endpoint.method == "POST", !call.caller.may("User.Modify", on: "/access/groups") { throw .denied() }
        guard let user = directory.users[id] else { throw Failure("no such user ('\(id)')") }
        return user
    }

    fileprivate func role(_ name: String) -> Set<String>? {
        directory.roles[name] ?? builtInRoles.first { $0.0 == name }.map { Set($0.1) }
    }

    fileprivate mutating func grant(_ call: EndpointCall) throws(Failure) {
        let path = call.text("path")
        guard call.caller.may("Permissions.Modify", on: path) else { throw .denied("\(path), Permissions.Modify") }
        let roots = ["access", "mapping", "nodes", "pool", "sdn", "storage", "vms"]
        guard path == "/" || roots.contains(String(path.split(separator: "/").first ?? "")) else {
            throw .parameters(["path": "invalid ACL path '\(path)'"])
        }
        let kinds = [("users", "user"), ("groups", "group"), ("tokens", "token")]
        let who = kinds.flatMap { list, kind in Format.list(call.text(list)).map { (kind, $0) } }
        for name in Format.list(call.text("roles")) {
            guard role(name) != nil || name.hasPrefix("PVE") else {
                throw Failure("ACL update failed: role '\(name)' does not exist")
            }
            for (kind, holder) in who {
                directory.grants.removeAll {
                    $0.path == path && $0.kind == kind && $0.name == holder && $0.role == name
                }
                if call.flag("delete") { continue }
                directory.grants.append(
                    Directory.Grant(
                        path: path, kind: kind, name: holder, role: name, isPropagated: call["propagate"] != "0"))
            }
        }
    }
}
