import HTTPMessage
import HTTPTypes
import Testing

@Suite struct RouterTests {
    private let router = Router([
        .init(.get, "/", "root"),
        .init(.get, "/v1/plans", "plans"),
        .init(.post, "/v1/plans", "new plan"),
        .init(.get, "/v1/plans/{id}", "plan"),
        .init(.delete, "/v1/plans/{id}", "drop plan"),
        .init(.post, "/v1/plans/pending", "pending"),
        .init(.post, "/v1/plans/{plan}/approve", "approve"),
        .init(.get, "/v1/{kind}/{name}/log", "log"),
    ])

    @Test(arguments: [
        ("GET", "/", "root"),
        ("GET", "/v1/plans", "plans"),
        ("HEAD", "/v1/plans", "plans"),
        ("POST", "/v1/plans", "new plan"),
        ("GET", "/v1/plans/pln_1", "plan id=pln_1"),
        ("HEAD", "/v1/plans/pln_1", "plan id=pln_1"),
        ("DELETE", "/v1/plans/pln_1", "drop plan id=pln_1"),
        ("GET", "/v1/plans/a%20b%C3%A4+c", "plan id=a bä+c"),
        ("GET", "/v1/plans/%2525", "plan id=%25"),
        ("GET", "/v1/plans/%70ending", "plan id=pending"),
        ("POST", "/v1/plans/pln_1/approve", "approve plan=pln_1"),
        ("GET", "/v1/plans/x/log", "log kind=plans name=x"),
        ("POST", "/v1/plans/pending", "pending"),
    ])
    func `finds the route and what it captures`(method: String, path: String, found: String) throws {
        let method = try #require(HTTPRequest.Method(method))
        guard case .matched(let value, let captures) = router.find(method, path) else {
            Issue.record("\(router.find(method, path))")
            return
        }
        let names = ["id", "plan", "kind", "name"]
        let pairs = names.compactMap { name in captures[name].map { "\(name)=\($0)" } }
        #expect(([value] + pairs).joined(separator: " ") == found)
    }

    @Test(arguments: [
        "", "*", "v1/plans", "/v1", "/v1/plans/", "/v1//plans", "//v1/plans", "/V1/plans", "/v1/Plans", "/v1/%70lans",
        "/v1/plans/a/b", "/v1/plans/a/", "/v1/plans//approve", "/v1%2Fplans", "/v1/plans/a/approve/", "/v1/./plans",
    ])
    func `knows nothing of other paths`(path: String) {
        guard case .notFound = router.find(.get, path) else {
            Issue.record("\(router.find(.get, path))")
            return
        }
    }

    @Test(arguments: [
        "/v1/plans/%", "/v1/plans/%4", "/v1/plans/%zz", "/v1/plans/a%00b", "/v1/plans/a%2Fb", "/v1/plans/a%2fb",
        "/v1/plans/%FF", "/v1/plans/%C3", "/v1/plans/%0A", "/v1/plans/%7f", "/v1/plans/..", "/v1/plans/%2e%2E",
        "/v1/plans/.", "/v1/plans/%ED%A0%80", "/v1/plans/%C0%AF",
    ])
    func `turns away captured segments that are no text`(path: String) {
        guard case .badPath = router.find(.get, path) else {
            Issue.record("\(router.find(.get, path))")
            return
        }
    }

    @Test(arguments: [
        ("PUT", "/v1/plans", "GET HEAD OPTIONS POST"),
        ("PUT", "/v1/plans/x", "DELETE GET HEAD OPTIONS"),
        ("GET", "/v1/plans/pending", "OPTIONS POST"),
        ("HEAD", "/v1/plans/x/approve", "OPTIONS POST"),
        ("get", "/v1/plans", "GET HEAD OPTIONS POST"),
        ("BREW", "/", "GET HEAD OPTIONS"),
    ])
    func `tells which methods a path has`(method: String, path: String, allowed: String) throws {
        let method = try #require(HTTPRequest.Method(method))
        guard case .wrongMethod(let allow) = router.find(method, path) else {
            Issue.record("\(router.find(method, path))")
            return
        }
        #expect(allow.map(\.rawValue).joined(separator: " ") == allowed)
    }

    @Test func `answers OPTIONS on every known path, and lets a route answer it instead`() {
        guard case .options(let allow) = router.find(.options, "/v1/plans/x") else {
            Issue.record("no options")
            return
        }
        #expect(allow == [.delete, .get, .head, .options])
        guard case .notFound = router.find(.options, "/v2") else {
            Issue.record("options of nothing")
            return
        }
        guard case .matched("own", _) = Router([.init(.options, "/x", "own")]).find(.options, "/x") else {
            Issue.record("own route not found")
            return
        }
    }
}
