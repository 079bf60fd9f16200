import StrictJSON

/// Users, groups, roles and ACLs, as the administration endpoints show them. A caller's privileges follow from the
/// tokens that the simulator was given, not from these.
struct Directory: Sendable {
    struct User: ConfigObject {
        var options: [String: String] = [:]
        var tokens = Objects<[String: String]>()

        var groups: Set<String> { Set(Format.list(options["groups"] ?? "")) }
    }

    /// An ACL entry: it applies to a path and everything below it.
    struct Grant: Sendable, Hashable {
        var path: String
        /// `user`, `group` or `token`.
        var kind: String
        var name: String
        var role: String
        var isPropagated = true
    }

    var users = Objects<User>()
    var groups = Objects<[String: String]>()
    var roles = Objects(builtInRoles.map { ($0, ["privs": $1.joined(separator: ","), "special": "1"]) })
    var grants: [Grant] = []
}

private let userOptions = """
     comment:str(..2048) email:str(..254) enable:bool expire:int(0..) firstname:str(..1024) groups:groupid-list keys:keys
     lastname:str(..1024)
    """
private let token = "access/users/{userid}/token/{tokenid}"
private let tokenOptions = "comment:str expire:int(0..) privsep:bool"
let tokenTable = ParameterTable(tokenOptions, path: token)

private let userKind = ObjectKind<Directory.User>(
    path: "access/users", id: "userid", place: { _ in \.directory.users },
    makes: "userid!:str(..64) password:str(8..64)" + userOptions, changes: "append:bool^groups" + userOptions,
    omits: ["password", "append"],
    permit: { world, call in
        let id = call.text("userid")
        guard call.endpoint.method == "POST" else { return try call.checkUser() }
        guard let at = id.lastIndex(of: "@"), at != id.startIndex else {
            throw Failure("value '\(id)' does not look like a valid user name")
        }
        let realm = "/access/realm/\(id[id.index(after: at)...])"
        try call.caller.need("Realm.AllocateUser", on: realm)
    }, unknown: { _, id in Failure("no such user ('\(id)')") },
    taken: { Failure("create user failed: user '\($0)' already exists") },
    show: { _, item, row in
        let tokens = item.old?.tokens.sorted ?? []
        row["userid"] = nil
        row["enable"] = row["enable"] ?? 1
        row["expire"] = row["expire"] ?? 0
        row["groups"] = JSON(item.old?.groups.sorted() ?? [])
        row["tokens"] =
            tokens.isEmpty
            ? .null : .object(tokens.reduce(into: JSONObject()) { $0[$1.id] = .object($1.object.row(by: tokenTable)) })
        return true
    },
    check: { _, item in
        guard item.call.flag("append"), let old = item.old, let new = item.new else { return }
        item.new?.options["groups"] = old.groups.union(new.groups).joined(separator: ",")
    },
    settle: { world, item in
        guard item.new == nil else { return .null }
        world.directory.grants.removeAll { $0.name == item.id || $0.name.hasPrefix(item.id + "!") }
        return .null
    })

private let groupKind = ObjectKind<[String: String]>(
    path: "access/groups", id: "groupid", place: { _ in \.directory.groups },
    reads: "/access/groups Sys.Audit|Group.Allocate", writes: "/access/groups Group.Allocate",
    makes: "comment:str groupid!:groupid", changes: "comment:str",
    unknown: { verb, id in Failure((verb == .read ? "" : "\(verb) group failed: ") + "group '\(id)' does not exist") },
    taken: { Failure("create group failed: group '\($0)' already exists") },
    show: { world, item, row in
        let members = world.directory.users.sorted.filter { $0.object.groups.contains(item.id) }.map(\.id)
        if row["comment"] == "" { row["comment"] = nil }
        guard item.call["groupid"] != nil else {
            row["users"] = .string(members.joined(separator: ","))
            return item.call.caller.may(
                ["User.Modify", "Sys.Audit", "Group.Allocate"], on: "/access/groups/\(item.id)")
        }
        row["groupid"] = nil
        row["members"] = JSON(members)
        return true
    },
    settle: { world, item in
        for (user, entry) in world.directory.users.all where item.new == nil {
            let rest = entry.groups.subtracting([item.id])
            world.directory.users[known: user].options["groups"] = rest.joined(separator: ",")
        }
        return .null
    })

private let roleKind = ObjectKind<[String: String]>(
    path: "access/roles", id: "roleid", place: { _ in \.directory.roles }, writes: "/access Sys.Modify",
    makes: "privs:privileges roleid!:roleid", changes: "append:bool^privs privs:privileges", omits: ["append"],
    isSorted: false,
    unknown: { verb, id in
        Failure(
            verb == .delete && id.hasPrefix("PVE")
                ? "auto-generated role '\(id)' cannot be deleted" : "role '\(id)' does not exist")
    }, taken: { Failure("create role failed: role '\($0)' already exists") },
    show: { _, item, row in
        row["special"] = item.old?["special"] == nil ? 0 : 1
        guard item.call["roleid"] != nil else { return true }
        row = Format.list(item.old?["privs"] ?? "").sorted().reduce(into: JSONObject()) { $0[$1] = 1 }
        return true
    },
    check: { _, item in
        guard item.old?["special"] == nil else {
            throw Failure("auto-generated role '\(item.id)' cannot be \(item.new == nil ? "deleted" : "modified")")
        }
        let before = item.call.flag("append") ? Format.list(item.old?["privs"] ?? "") : []
        item.new?["privs"] = Set(before + Format.list(item.call.text("privs"))).sorted().joined(separator: ",")
    })

let accessAdminEndpoints: [Endpoint] =
    userKind.endpoints.dropFirst() + groupKind.endpoints + roleKind.endpoints + [
        .post(token, tokenOptions) { world, call in
            try call.checkUser()
            guard let user = world.directory.users[call.text("userid")] else { throw call.noSuchUser }
            guard user.tokens[call.text("tokenid")] == nil else {
                throw Failure.parameters(["tokenid": "Token already exists."])
            }
            let sent = call.sent.row()
            world.directory[tokenOf: call] = ["privsep": "1", "expire": "0"].merging(call.sent) { $1 }
            return .data([
                "full-tokenid": .string(call.fullToken), "info": .object(sent), "value": .string(world.random.uuid()),
            ])
        },
        .put(token, tokenOptions + " delete:configid-list") { world, call in
            try call.checkUser()
            guard world.directory.users[call.text("userid")] != nil else { throw call.noSuchUser }
            guard var options = world.directory[tokenOf: call] else { throw call.noSuchToken }
            options.take(call)
            world.directory[tokenOf: call] = options
            // The options that were just sent come back unchanged.
            var row = options.row(by: tokenTable)
            for (key, value) in call.sent { row[key] = .string(value) }
            return .object(row)
        },
        .change("DELETE", token) { world, call in
            guard world.directory[tokenOf: call] != nil else { throw call.noSuchToken }
            world.directory[tokenOf: call] = nil
            world.directory.grants.removeAll { $0.name == call.fullToken }
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
    fileprivate var noSuchUser: Failure { Failure("no such user ('\(text("userid"))')") }
    fileprivate var noSuchToken: Failure { Failure("no such token '\(text("tokenid"))' for user '\(text("userid"))'") }

    /// Refuses a caller who may not see the user that the call names, or may not give that user tokens.
    fileprivate func checkUser() throws(Failure) {
        guard text("userid") == caller.user || caller.may(["User.Modify", "Sys.Audit"], on: "/access/groups") else {
            throw .denied("/access/groups, User.Modify")
        }
        if endpoint.method == "POST", !caller.may("User.Modify", on: "/access/groups") { throw .denied() }
    }
}

extension Directory {
    fileprivate subscript(tokenOf call: EndpointCall) -> [String: String]? {
        get { users[call.text("userid")]?.tokens[call.text("tokenid")] }
        set { users[call.text("userid")]?.tokens[call.text("tokenid")] = newValue }
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
    fileprivate mutating func grant(_ call: EndpointCall) throws(Failure) {
        let path = call.text("path")
        try call.caller.need("Permissions.Modify", on: path)
        let roots = ["access", "mapping", "nodes", "pool", "sdn", "storage", "vms"]
        guard path == "/" || roots.contains(String(path.split(separator: "/").first ?? "")) else {
            throw .parameters(["path": "invalid ACL path '\(path)'"])
        }
        let kinds = [("users", "user"), ("groups", "group"), ("tokens", "token")]
        let who = kinds.flatMap { list, kind in Format.list(call.text(list)).map { (kind, $0) } }
        for name in Format.list(call.text("roles")) {
            guard directory.roles[name] != nil || name.hasPrefix("PVE") else {
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
