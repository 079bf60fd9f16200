import HTTPMessage
import HTTPTypes
import StrictJSON

/// Authenticates callers and lists their privileges.
struct Access: Sendable {
    var tokens = Simulator.Tokens.any

    /// The caller that a request's header names.
    func caller(of request: Request) throws(Failure) -> Caller {
        if let cookie = request.fields[.cookie], cookie.contains("PVEAuthCookie=") {
            throw .unauthenticated("Authentication failed!")
        }
        guard let header = request.fields[.authorization], header.hasPrefix("PVEAPIToken") else {
            throw .unauthenticated("No ticket")
        }
        return try caller(presenting: header)
    }

    /// The caller that the header `PVEAPIToken=…` names.
    func caller(presenting header: String) throws(Failure) -> Caller {
        let value = header.dropFirst("PVEAPIToken".count).drop { $0 == "=" || $0 == " " }
        let parts = value.split(separator: "=", maxSplits: 1)
        guard parts.count == 2, let (user, name) = Self.split(parts[0]) else {
            throw .unauthenticated("Authentication failed!")
        }
        switch tokens {
        case .any: return Caller(user: user, token: name)
        case .list(let list):
            guard let token = list.first(where: { $0.id == parts[0] && $0.secret == parts[1] }) else {
                throw .unauthenticated("Authentication failed!")
            }
            return Caller(user: user, token: name, grants: token.privileges)
        }
    }

    /// `root@pam!agent`, split into its two parts.
    private static func split(_ id: Substring) -> (user: String, name: String)? {
        let parts = id.split(separator: "!", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, Format.isConfigID(String(parts[1])) else { return nil }
        let user = parts[0].split(separator: "@", omittingEmptySubsequences: false)
        guard user.count == 2, !user[0].isEmpty, Format.isConfigID(String(user[1])) else { return nil }
        return (String(parts[0]), String(parts[1]))
    }

    static let privileges = [
        "Datastore.Allocate", "Datastore.AllocateSpace", "Datastore.AllocateTemplate", "Datastore.Audit",
        "Group.Allocate", "Mapping.Audit", "Mapping.Modify", "Mapping.Use", "Permissions.Modify", "Pool.Allocate",
        "Pool.Audit", "Realm.Allocate", "Realm.AllocateUser", "SDN.Allocate", "SDN.Audit", "SDN.Use",
        "Sys.AccessNetwork", "Sys.Audit", "Sys.Console", "Sys.Incoming", "Sys.Modify", "Sys.PowerMgmt", "Sys.Syslog",
        "User.Modify", "VM.Allocate", "VM.Audit", "VM.Backup", "VM.Clone", "VM.Config.CDROM", "VM.Config.CPU",
        "VM.Config.Cloudinit", "VM.Config.Disk", "VM.Config.HWType", "VM.Config.Memory", "VM.Config.Network",
        "VM.Config.Options", "VM.Console", "VM.GuestAgent.Audit", "VM.GuestAgent.FileRead",
        "VM.GuestAgent.FileSystemMgmt", "VM.GuestAgent.FileWrite", "VM.GuestAgent.Unrestricted", "VM.Migrate",
        "VM.PowerMgmt", "VM.Replicate", "VM.Snapshot", "VM.Snapshot.Rollback",
    ]
}

let accessEndpoints: [Endpoint] = [
    .get("access/permissions", "path:str userid:str") { world, call in
        .object(world.permissions(of: call.caller, on: call["path"]))
    },
    .get("access/users", "enabled:bool full:bool") { world, call in .rows(world.users(for: call)) },
    .get("access/users/{userid}/token") { world, call in
        .rows(
            world.tokens(of: call.text("userid")).map { name, options in
                var row = options.row(by: tokenTable)
                row["tokenid"] = .string(name)
                return .object(row)
            })
    },
    .get("access/users/{userid}/token/{tokenid}") { world, call in
        let (user, name) = (call.text("userid"), call.text("tokenid"))
        guard let options = world.tokens(of: user).first(where: { $0.id == name })?.options else {
            throw Failure("no such token '\(name)' for user '\(user)'")
        }
        return .object(options.row(by: tokenTable))
    },
    .get("access/domains") { _, _ in
        .data([
            ["realm": "pam", "type": "pam", "comment": "Linux PAM standard authentication"],
            ["realm": "pve", "type": "pve", "comment": "Proxmox VE authentication server"],
        ])
    },
    .put("access/password", "password!:str(8..64) userid!:str(..64) confirmation-password:str(5..64)") { _, _ in
        throw Failure.denied("URI '/access/password' not available with API token, need proper ticket.\n")
    },
]

let builtInRoles: [(String, [String])] = [
    ("Administrator", Access.privileges), ("NoAccess", []),
    ("PVEAuditor", Access.privileges.filter { $0.hasSuffix(".Audit") }),
    ("PVEDatastoreUser", ["Datastore.AllocateSpace", "Datastore.Audit"]),
    ("PVESysAdmin", ["Sys.Audit", "Sys.Console", "Sys.Syslog"]), ("PVETemplateUser", ["VM.Audit", "VM.Clone"]),
    ("PVEVMAdmin", Access.privileges.filter { $0.hasPrefix("VM.") }),
]

extension ClusterState {
    /// The privileges of `caller`, by path. A caller with all privileges gets them on the well-known paths and on those
    /// with an ACL.
    fileprivate func permissions(of caller: Caller, on path: String?) -> JSONObject {
        var paths: Set<String> = ["/", "/access", "/access/groups", "/nodes", "/pool", "/sdn", "/storage", "/vms"]
        if case .list(let tokens) = access.tokens {
            for token in tokens { paths.formUnion(token.privileges?.keys.map { $0 } ?? []) }
        }
        let grants = caller.grants ?? paths.reduce(into: [:]) { $0[$1] = Set(Access.privileges) }
        if let path {
            let effective = Access.privileges.filter { caller.may($0, on: path) }
            guard !effective.isEmpty else { return [:] }
            return [path: .object(effective.reduce(into: JSONObject()) { $0[$1] = 1 })]
        }
        return grants.sorted { $0.key < $1.key }.reduce(into: JSONObject()) { result, grant in
            guard !grant.value.isEmpty else { return }
            result[grant.key] = .object(grant.value.sorted().reduce(into: JSONObject()) { $0[$1] = 1 })
        }
    }

    /// The tokens of a user: those made through the API, and those that the simulator was given.
    fileprivate func tokens(of user: String) -> [(id: String, options: [String: String])] {
        let made = directory.users[user]?.tokens
        guard case .list(let tokens) = access.tokens else { return made?.sorted.map { ($0.id, $0.object) } ?? [] }
        let given = tokens.filter { $0.id.hasPrefix("\(user)!") }.map { String($0.id.dropFirst(user.count + 1)) }
        return (made?.sorted.map { ($0.id, $0.object) } ?? [])
            + given.filter { made?[$0] == nil }.map { ($0, ["privsep": "1", "expire": "0"]) }
    }

    fileprivate func users(for call: EndpointCall) -> [JSON] {
        guard call.caller.may(["User.Modify", "Sys.Audit"], on: "/access") else { return [] }
        var ids: Set<String> = ["root@pam", call.caller.user]
        if case .list(let tokens) = access.tokens {
            for token in tokens { ids.insert(String(token.id.prefix { $0 != "!" })) }
        }
        return ids.sorted().map { id in
            let realm = String(id.drop { $0 != "@" }.dropFirst())
            var row: JSONObject = ["userid": .string(id), "enable": 1, "expire": 0, "realm-type": .string(realm)]
            guard call.flag("full") else { return .object(row) }
            row["groups"] = ""
            let tokens = tokens(of: id)
            if !tokens.isEmpty {
                row["tokens"] = .array(tokens.map { ["tokenid": .string($0.id), "privsep": 1, "expire": 0] })
            }
            return .object(row)
        }
    }
}
