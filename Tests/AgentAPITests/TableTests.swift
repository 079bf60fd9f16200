import AgentAPI
import AgentService
import AgentTestSupport
import FoundationEssentials
import HTTPTypes
import Testing

struct TableTests {
    @Test func `the routes are those of the table`() throws {
        let lines = Route.all.map { route in
            "\(route.method.rawValue) \(route.path) \(route.access.rawValue) [\(route.query.map(\.name).joined(separator: ","))]"
        }
        try expectGolden(lines, "routes.txt")
        #expect(Set(Route.all.map { "\($0.method.rawValue) \($0.path)" }).count == Route.all.count)
        #expect(Route.all.allSatisfy { !$0.summary.isEmpty })
    }

    @Test func `no route that changes something is open, and none is changed by GET`() {
        for route in Route.all {
            let isOfAPI = [.read, .change, .visitor].contains(route.access)
            #expect(route.path.hasPrefix("/v1/") == isOfAPI, "\(route.path)")
            // Whoever signs in has no session yet.
            let isSignIn = route.access == .visitor && route.path.hasPrefix("/v1/session") && route.method == .post
            #expect((route.method == .get) == (route.access != .change && !isSignIn), "\(route.path)")
        }
    }

    @Test func `the errors are those of the table`() throws {
        try expectGolden(
            ErrorCode.allCases.map { "\($0.rawValue) \(Problem.status(of: $0).code) \(Problem.title(of: $0))" },
            "errors.txt")
        #expect(Set(ErrorCode.allCases.map(Problem.title)).count == ErrorCode.allCases.count)
    }

    static let errorsPage = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "docs/errors.md")
    static var hasErrorsPage: Bool { FileManager.default.fileExists(atPath: errorsPage.path) }

    @Test(.enabled(if: hasErrorsPage, "docs/errors.md is not there yet"))
    func `each code has its place in the documents`() throws {
        let page = String(decoding: try Data(contentsOf: Self.errorsPage), as: UTF8.self)
        let headings = Set(page.split(separator: "\n").filter { $0.hasPrefix("### ") }.map { String($0.dropFirst(4)) })
        #expect(headings == Set(ErrorCode.allCases.map(\.rawValue)))
        for code in ErrorCode.allCases {
            #expect(
                page.contains(
                    "### \(code.rawValue)\n\nStatus \(Problem.status(of: code).code): \(Problem.title(of: code))"))
        }
    }
}
