import StrictJSON

/// The content of one section of a configuration file.
protocol ConfigObject: Sendable {
    init()
    var options: [String: String] { get set }
}

extension [String: String]: ConfigObject {
    var options: [String: String] {
        get { self }
        set { self = newValue }
    }

    var digest: String { Digest.sha1(sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)\n" }.joined()) }

    /// As rows show them: numbers where `table` has integers or booleans.
    func row(by table: ParameterTable = ParameterTable("", path: "")) -> JSONObject {
        sorted { $0.key < $1.key }.reduce(into: JSONObject()) { row, option in
            let isNumber = [.integer, .boolean].contains(table.type(of: option.key)?.base)
            row[option.key] = isNumber ? Int(option.value).map { JSON($0) } : nil
            row[option.key] = row[option.key] ?? .string(option.value)
        }
    }

    /// Applies the options that `call` deletes and sets.
    mutating func take(_ call: EndpointCall, omitting omitted: Set<String> = []) {
        for key in Format.list(call.text("delete")) { self[key] = nil }
        for (key, value) in call.sent where !omitted.contains(key) { self[key] = value }
        for (key, items) in call.lists { self[key] = items.joined(separator: "\n") }
    }
}

/// The sections of a configuration file, oldest first.
struct Objects<Object: ConfigObject>: Sendable {
    private(set) var ids: [String] = []
    private var byID: [String: Object] = [:]

    init(_ objects: [(String, Object)] = []) { for (id, object) in objects { self[id] = object } }

    subscript(id: String) -> Object? {
        get { byID[id] }
        set {
            if newValue == nil { ids.removeAll { $0 == id } } else if byID[id] == nil { ids.append(id) }
            byID[id] = newValue
        }
    }

    /// For an object that is known to exist.
    subscript(known id: String) -> Object {
        get { byID[id] ?? Object() }
        set { self[id] = newValue }
    }

    var isEmpty: Bool { ids.isEmpty }
    var values: [Object] { ids.compactMap { byID[$0] } }
    var all: [(id: String, object: Object)] { ids.compactMap { id in byID[id].map { (id, $0) } } }
    var sorted: [(id: String, object: Object)] { all.sorted { $0.id < $1.id } }
    var digest: String { Digest.sha1(all.map { "\($0.id)\n\($0.object.options.digest)" }.joined(separator: "\n")) }
}

/// Objects of one kind that the API lists, reads, creates, changes and removes, as data: their paths, parameters,
/// privileges and error texts.
struct ObjectKind<Object: ConfigObject>: Sendable {
    enum Verb: String, Sendable { case read, create, update, delete }
    typealias Place = WritableKeyPath<ClusterState, Objects<Object>> & Sendable

    /// The path of the list; each object is one segment below it.
    var path: String
    /// The parameter that names an object.
    var id: String
    /// Where the objects are kept.
    var place: @Sendable (EndpointCall) -> any Place
    /// The privileges for listing, reading and changing them.
    var lists = ""
    var reads = ""
    var writes = ""
    /// Parameters of the five methods.
    var filters = ""
    var finds = ""
    var makes: String
    var changes: String
    var removes = ""
    /// Parameters that are not options.
    var omits: Set<String> = []
    /// Whether rows show the digest of the whole file.
    var hasDigest = false
    /// Whether the list is sorted by name; otherwise the oldest comes first.
    var isSorted = true
    /// Refuses a call before any lookup.
    var permit: @Sendable (inout ClusterState, EndpointCall) throws -> Void = { _, _ in }
    /// The name of the object that a call is about, if it differs from the parameter.
    var name: @Sendable (inout ClusterState, EndpointCall) -> String? = { _, _ in nil }
    /// The refusal for a missing object; `nil` if a missing object is no error.
    var unknown: @Sendable (Verb, String) -> Failure?
    /// The refusal for a change with an outdated digest.
    var stale = Failure.staleConfig
    var taken: @Sendable (String) -> Failure
    /// Completes a row; false leaves it out of the list.
    var show: @Sendable (ClusterState, Item, inout JSONObject) throws -> Bool = { _, _, _ in true }
    /// Refuses or completes the new state of an object.
    var check: @Sendable (inout ClusterState, inout Item) throws -> Void = { _, _ in }
    /// Runs after the change.
    var settle: @Sendable (inout ClusterState, Item) throws -> Reply = { _, _ in .null }

    /// The change that a call makes to one object: it creates a missing object, and removes one if there is none
    /// afterwards.
    struct Item {
        let id: String
        let call: EndpointCall
        let old: Object?
        var new: Object?
    }

    var endpoints: [Endpoint] { reading + changing }

    private var one: String { path + "/{\(id)}" }

    private var reading: [Endpoint] {
        let kind = self
        let table = ParameterTable(makes + " " + changes, path: one)
        return [
            .get(path, filters, needs: lists) { world, call in
                try kind.permit(&world, call)
                let objects = world[keyPath: kind.place(call)]
                return .rows(
                    try (kind.isSorted ? objects.sorted : objects.all).compactMap { id, object in
                        try kind.row(world, Item(id: id, call: call, old: object, new: object), table).map {
                            .object($0)
                        }
                    })
            },
            .get(one, finds, needs: reads) { world, call in
                let (id, objects) = try kind.find(&world, call)
                guard let object = objects[id] else { throw kind.unknown(.read, id) ?? .missing }
                return .object(try kind.row(world, Item(id: id, call: call, old: object, new: object), table) ?? [:])
            },
        ]
    }

    private var changing: [Endpoint] {
        let kind = self
        return [
            .post(path, makes, needs: writes) { world, call in
                let id = try kind.find(&world, call).id
                var item = Item(id: id, call: call, old: nil, new: Object())
                item.new?.options.take(call, omitting: kind.omits.union([kind.key]))
                try kind.check(&world, &item)
                guard world[keyPath: kind.place(call)][id] == nil else { throw kind.taken(id) }
                world[keyPath: kind.place(call)][id] = item.new
                return try kind.settle(&world, item)
            },
            .put(one, changes, needs: writes) { world, call in
                let (id, objects) = try kind.find(&world, call)
                guard let old = objects[id] else { throw kind.unknown(.update, id) ?? .missing }
                try call.checkDigest(objects.digest, kind.stale)
                var item = Item(id: id, call: call, old: old, new: old)
                item.new?.options.take(call, omitting: kind.omits)
                try kind.check(&world, &item)
                if let next = call["rename"], next != id { world[keyPath: kind.place(call)][id] = nil }
                world[keyPath: kind.place(call)][call["rename"] ?? id] = item.new
                return try kind.settle(&world, item)
            },
            .delete(one, removes, needs: writes) { world, call in
                let (id, objects) = try kind.find(&world, call)
                try call.checkDigest(objects.digest, kind.stale)
                guard let old = objects[id] else {
                    if let failure = kind.unknown(.delete, id) { throw failure }
                    return .null
                }
                var item = Item(id: id, call: call, old: old, new: nil)
                try kind.check(&world, &item)
                world[keyPath: kind.place(call)][id] = item.new
                return try kind.settle(&world, item)
            },
        ]
    }

    /// The parameter's name, without the star of a parameter that takes the rest of the path.
    private var key: String { String(id.prefix { $0 != "*" }) }

    private func find(
        _ world: inout ClusterState, _ call: EndpointCall
    ) throws -> (id: String, objects: Objects<Object>) {
        try permit(&world, call)
        return (name(&world, call) ?? call.text(key), world[keyPath: place(call)])
    }

    private func row(_ world: ClusterState, _ item: Item, _ table: ParameterTable) throws -> JSONObject? {
        var row = item.old?.options.row(by: table) ?? [:]
        row[key] = .string(item.id)
        if hasDigest { row["digest"] = .string(world[keyPath: place(item.call)].digest) }
        return try show(world, item, &row) ? row : nil
    }
}
