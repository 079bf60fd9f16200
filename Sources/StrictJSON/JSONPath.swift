/// The place of a value in a JSON document.
package struct JSONPath: Sendable, Hashable {
    package enum Step: Sendable, Hashable {
        case key(String)
        case index(Int)
    }

    package var steps: [Step]

    package init(_ steps: [Step] = []) { self.steps = steps }

    package func key(_ name: String) -> JSONPath { JSONPath(steps + [.key(name)]) }
    package func index(_ number: Int) -> JSONPath { JSONPath(steps + [.index(number)]) }

    /// As a JSON Pointer (RFC 6901): `/params/memory`; empty for the whole document.
    package var pointer: String {
        steps.map { step in
            switch step {
            case .index(let number): "/\(number)"
            case .key(let name):
                "/"
                    + name.unicodeScalars.reduce(into: "") { text, scalar in
                        switch scalar {
                        case "~": text += "~0"
                        case "/": text += "~1"
                        default: text.unicodeScalars.append(scalar)
                        }
                    }
            }
        }.joined()
    }

    /// In a form for people: `environments[1].base_url`.
    package var dotted: String {
        steps.reduce(into: "") { text, step in
            switch step {
            case .index(let number): text += "[\(number)]"
            case .key(let name): text += text.isEmpty ? name : ".\(name)"
            }
        }
    }
}

/// What is wrong with a JSON document, and where.
package struct JSONError: Error, Sendable, Hashable {
    package let path: JSONPath
    /// The byte offset of the error, if the text itself is malformed.
    package let offset: Int?
    package let detail: String

    package init(path: JSONPath, offset: Int? = nil, detail: String) {
        self.path = path
        self.offset = offset
        self.detail = detail
    }

    /// The same error for a value at `step` of a larger one.
    func under(_ step: JSONPath.Step) -> JSONError {
        JSONError(path: JSONPath([step] + path.steps), offset: offset, detail: detail)
    }
}
