package import HTTPTypes

/// Finds the route of a request by its raw, still encoded path: no decoding can turn one route into another.
///
/// Segments are compared byte by byte. Where several templates fit, the one with the earlier literal segment wins:
/// `/plans/pending` before `/plans/{id}`.
package struct Router<Value: Sendable>: Sendable {
    /// One method on one path template. A template is `/`, or segments that are a literal or a `{name}` as a whole.
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

    /// What was found.
    package enum Match {
        /// The route, and its captured segments, decoded. HEAD is answered by the route of GET.
        case matched(Value, PathCaptures)
        /// OPTIONS on a known path, without a route of its own.
        case options(allow: [HTTPRequest.Method])
        /// The path is known, but not with this method. `allow` is sorted and includes HEAD, if GET is there, and OPTIONS.
        case wrongMethod(allow: [HTTPRequest.Method])
        case notFound
        /// A captured segment is no text: a bad escape, not UTF-8, or it holds a `/`, a control character or is a dot
        /// segment once decoded.
        case badPath
    }

    private let resources: [Resource<Value>]
    /// Where in `resources` the templates without captures are, by their whole text.
    private let literals: [String: Int]

    /// The routes may come in any order. Two with the same method and the same template are a mistake in the program.
    package init(_ routes: [Route]) {
        var resources: [Resource<Value>] = []
        for route in routes {
            let segments = PathSegment.parse(route.template)
            let known = resources.firstIndex { $0.segments.elementsEqual(segments, by: PathSegment.meanTheSame) }
            if let known {
                precondition(
                    resources[known].route(of: route.method) == nil, "two routes: \(route.method) \(route.template)")
                resources[known].routes.append((route.method, route.value, segments))
            } else {
                resources.append(Resource(segments: segments, routes: [(route.method, route.value, segments)]))
            }
        }
        resources.sort { $0.segments.lexicographicallyPrecedes($1.segments, by: PathSegment.isMoreSpecific) }
        self.resources = resources
        literals = Dictionary(
            resources.enumerated().compactMap { index, resource in resource.literal.map { ($0, index) } },
            uniquingKeysWith: { first, _ in first })
    }

    /// Looks for the route of `method` and `path`, the path as in ``Request/path``.
    package func find(_ method: HTTPRequest.Method, _ path: String) -> Match {
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

    /// What `{name}` stands for; `nil` when the template has no such capture.
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
private struct Resource<Value: Sendable>: Sendable {
    let segments: [PathSegment]
    /// For each method its value, and the template's own names for the captures. A handful: searched faster than hashed.
    var routes: [(method: HTTPRequest.Method, value: Value, segments: [PathSegment])]

    func route(of method: HTTPRequest.Method) -> (method: HTTPRequest.Method, value: Value, segments: [PathSegment])? {
        routes.first { $0.method == method }
    }

    /// The whole path, where nothing in it is captured.
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

    func match(_ method: HTTPRequest.Method, _ path: [Substring]) -> Router<Value>.Match {
        guard let route = route(of: method) ?? (method == .head ? route(of: .get) : nil) else {
            return method == .options ? .options(allow: allowed) : .wrongMethod(allow: allowed)
        }
        var captures = PathCaptures()
        for (segment, text) in zip(route.segments, path) {
            guard case .capture(let name) = segment else { continue }
            guard let value = try? PercentDecoding.decode(text), !value.contains("/"), value != ".", value != ".."
            else {
                return .badPath
            }
            captures.values.append((name, value))
        }
        return .matched(route.value, captures)
    }

    private var allowed: [HTTPRequest.Method] {
        var methods = Set(routes.map(\.method))
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

    /// Whether both take the same segments, whatever a capture is called.
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
