package import HTTPTypes

/// Finds the route of a request by its raw, encoded path, so that decoding cannot turn one route into another.
///
/// Segments are compared byte by byte. If several templates match, the one with the earlier literal segment wins:
/// `/plans/pending` before `/plans/{id}`.
package struct Router<Value: Sendable>: Sendable {
    /// One method on one path template. A template is `/`, or segments that are each a literal or a `{name}`.
    package struct Route: Sendable {
        package var method: HTTPRequest.Method
        package var template: String
        package var value: Value

        package init(_ method: HTTPRequest.Method, _ template: String, _ value: Value) {
            self.method = method
            self.template = template
            self.value = value
        }
    }

    /// The result of a search.
    package enum Match {
        /// The route, with its captured segments decoded. HEAD uses the route of GET.
        case matched(Value, PathCaptures)
        /// OPTIONS on a known path, without a route of its own.
        case options(allow: [HTTPRequest.Method])
        /// The path is known, but not with this method. `allow` is sorted and includes HEAD, if GET is there, and OPTIONS.
        case wrongMethod(allow: [HTTPRequest.Method])
        case notFound
        /// A captured segment is not valid text: a bad escape, not UTF-8, or, once decoded, it has a `/` or a control
        /// character or is a dot segment.
        case badPath
    }

    private let table: RouteTable
    private let values: [Value]

    /// The routes may be in any order. Two with the same method and the same template are a programming error.
    package init(_ routes: [Route]) {
        table = RouteTable(routes.map { ($0.method, $0.template) })
        values = routes.map(\.value)
    }

    /// Finds the route of `method` and `path`, the path as in ``Request/path``.
    package func find(_ method: HTTPRequest.Method, _ path: String) -> Match {
        switch table.find(method, path) {
        case .matched(let number, let captures): .matched(values[number], captures)
        case .options(let allow): .options(allow: allow)
        case .wrongMethod(let allow): .wrongMethod(allow: allow)
        case .notFound: .notFound
        case .badPath: .badPath
        }
    }
}

/// The routes of a ``Router`` without their values: not generic, so that a search is fast.
private struct RouteTable: Sendable {
    /// Like ``Router/Match``, with the number of the route.
    enum Match {
        case matched(Int, PathCaptures)
        case options(allow: [HTTPRequest.Method])
        case wrongMethod(allow: [HTTPRequest.Method])
        case notFound, badPath
    }

    private let resources: [Resource]
    /// The positions in `resources` of the templates without captures, by their whole text.
    private let literals: [String: Int]

    init(_ routes: [(method: HTTPRequest.Method, template: String)]) {
        var resources: [Resource] = []
        for (number, route) in routes.enumerated() {
            let segments = PathSegment.parse(route.template)
            let known = resources.firstIndex { $0.segments.elementsEqual(segments, by: PathSegment.meanTheSame) }
            let entry = Resource.Entry(method: route.method, number: number, segments: segments)
            if let known {
                precondition(
                    resources[known].entry(of: route.method) == nil, "two routes: \(route.method) \(route.template)")
                resources[known].entries.append(entry)
            } else {
                resources.append(Resource(segments: segments, entries: [entry]))
            }
        }
        resources.sort { $0.segments.lexicographicallyPrecedes($1.segments, by: PathSegment.isMoreSpecific) }
        self.resources = resources
        literals = Dictionary(
            resources.enumerated().compactMap { index, resource in resource.literal.map { ($0, index) } },
            uniquingKeysWith: { first, _ in first })
    }

    func find(_ method: HTTPRequest.Method, _ path: String) -> Match {
        if let index = literals[path] { return resources[index].match(method, []) }
        guard path.utf8.first == UInt8(ascii: "/") else { return .notFound }
        let segments = path.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        guard let resource = resources.first(where: { $0.fits(segments) }) else { return .notFound }
        return resource.match(method, segments)
    }
}

/// The segments that a template captured, decoded.
package struct PathCaptures: Sendable, Hashable {
    fileprivate var values: [(name: String, value: String)] = []

    package init() {}

    /// The value of `{name}`; `nil` if the template has no such capture.
    package subscript(name: String) -> String? { values.first { $0.name == name }?.value }

    package static func == (one: Self, other: Self) -> Bool {
        one.values.elementsEqual(other.values) { $0 == $1 }
    }

    package func hash(into hasher: inout Hasher) {
        for (name, value) in values {
            hasher.combine(name)
            hasher.combine(value)
        }
    }
}

/// All routes of one path.
private struct Resource: Sendable {
    /// The route of one method, with the template's own names for the captures.
    struct Entry: Sendable {
        let method: HTTPRequest.Method
        let number: Int
        let segments: [PathSegment]
    }

    let segments: [PathSegment]
    /// So few that a search is faster than hashing.
    var entries: [Entry]

    func entry(of method: HTTPRequest.Method) -> Entry? { entries.first { $0.method == method } }

    /// The whole path, if it has no captures.
    var literal: String? {
        var path = ""
        for segment in segments {
            guard case .literal(let text) = segment else { return nil }
            path += "/" + text
        }
        return path
    }

    func fits(_ path: [Substring]) -> Bool {
        guard path.count == segments.count else { return false }
        return zip(segments, path).allSatisfy { segment, text in
            switch segment {
            case .literal(let literal): literal == text
            case .capture: !text.isEmpty
            }
        }
    }

    func match(_ method: HTTPRequest.Method, _ path: [Substring]) -> RouteTable.Match {
        guard let entry = entry(of: method) ?? (method == .head ? entry(of: .get) : nil) else {
            return method == .options ? .options(allow: allowed) : .wrongMethod(allow: allowed)
        }
        var captures = PathCaptures()
        for (segment, text) in zip(entry.segments, path) {
            guard case .capture(let name) = segment else { continue }
            guard let value = try? PercentDecoding.decode(text), !value.contains("/"), value != ".", value != ".."
            else {
                return .badPath
            }
            captures.values.append((name, value))
        }
        return .matched(entry.number, captures)
    }

    private var allowed: [HTTPRequest.Method] {
        var methods = Set(entries.map(\.method))
        methods.insert(.options)
        if methods.contains(.get) { methods.insert(.head) }
        return methods.sorted { $0.rawValue < $1.rawValue }
    }
}

private enum PathSegment: Sendable {
    case literal(String)
    case capture(String)

    static func parse(_ template: String) -> [PathSegment] {
        precondition(template.hasPrefix("/"), "a template starts with a slash: \(template)")
        return template.dropFirst().split(separator: "/", omittingEmptySubsequences: false).map { text in
            guard text.hasPrefix("{") else { return .literal(String(text)) }
            precondition(text.hasSuffix("}") && text.count > 2, "a capture is a whole segment: \(template)")
            return .capture(String(text.dropFirst().dropLast()))
        }
    }

    /// Whether both match the same segments, whatever their captures are called.
    static func meanTheSame(_ one: PathSegment, _ other: PathSegment) -> Bool {
        switch (one, other) {
        case (.literal(let one), .literal(let other)): one == other
        case (.capture, .capture): true
        case (.literal, .capture), (.capture, .literal): false
        }
    }

    static func isMoreSpecific(_ one: PathSegment, _ other: PathSegment) -> Bool {
        switch (one, other) {
        case (.literal, .capture): true
        case (.literal, .literal), (.capture, .literal), (.capture, .capture): false
        }
    }
}
