import AgentService
package import HTTPMessage
import HTTPTypes
import Signatures

/// What a request of a browser must look like for a session to begin or to count.
///
/// Browsers send cookies by themselves, so a page of somebody else must not be able to use them: it would have to be
/// taken for a page of the agent's own (CSRF), or to get the agent's answers under a name of its own (DNS rebinding).
package struct BrowserRules: Sendable {
    private let surroundings: Surroundings
    /// Where people reach the agent, as browsers write it.
    private let publicURL: String?
    private let hasTLS: Bool

    /// `address` is where the agent listens.
    package init(listening address: ListenAddress, publicURL: String?, hasTLS: Bool) {
        let host = publicURL?.split(separator: "://", maxSplits: 1).last.map(String.init)
        surroundings = Surroundings(listening: address, hosts: host.map { [$0] } ?? [])
        self.publicURL = publicURL?.lowercased()
        self.hasTLS = hasTLS
    }

    /// Where passkeys sign: the origin under which people reach the agent, and its host.
    var signingPlace: SigningPlace? { publicURL.flatMap(SigningPlace.init) }

    /// Throws if others could read along: without TLS only this machine gets pages and sessions. A server before the
    /// agent that speaks TLS with browsers is on this machine too.
    func checkTransport(_ request: Request) throws(ServiceError) {
        guard hasTLS || request.peer == "unix" || ListenAddress(request.peer)?.isLoopback == true else {
            throw ServiceError(
                .tlsRequired,
                "without TLS the console is for this machine only; set tls, or let a server on this machine speak TLS "
                    + "for the agent")
        }
    }

    /// Throws unless a sign-in may come from the page that sends it. A request that does not come from a browser names no page.
    func checkSignIn(_ request: Request) throws(ServiceError) {
        try checkTransport(request)
        try checkOrigin(request, try host(of: request))
    }

    /// Throws unless a session may count for the request.
    func checkSession(_ request: Request) throws(ServiceError) {
        try checkSignIn(request)
        guard ![.get, .head, .options].contains(request.method) else { return }
        guard request.fields[.secFetchSite] != nil || request.fields[.origin] != nil else {
            throw ServiceError(
                .foreignOrigin,
                "a change under a session must show where it comes from, with Sec-Fetch-Site or Origin, as browsers do; "
                    + "programs send a token instead")
        }
        guard request.body.isEmpty || request.isJSON else {
            throw ServiceError(.unsupportedMediaType, "send Content-Type: application/json")
        }
    }

    private func host(of request: Request) throws(ServiceError) -> String {
        if let host = surroundings.host(of: request) { return host }
        throw ServiceError(
            .foreignOrigin,
            "this Host is not the agent's; sessions count under public_url of its configuration, localhost and the "
                + "address that it listens on")
    }

    private func checkOrigin(_ request: Request, _ host: String) throws(ServiceError) {
        let site = request.fields[values: .secFetchSite]
        let isRead = [.get, .head, .options].contains(request.method)
        let isOurs = site.allSatisfy { $0 == "same-origin" || (isRead && $0 == "none") }
        let own = [publicURL, "\(hasTLS ? "https" : "http")://\(host)"]
        // Browsers hide the origin of some requests, and then the other field decides.
        let isSame = request.fields[values: .origin].allSatisfy { origin in
            own.contains(origin.lowercased()) || (origin == "null" && !site.isEmpty)
        }
        guard isOurs, isSame else {
            throw ServiceError(
                .foreignOrigin,
                "the request comes from a page of another origin; sessions count only for pages of this agent, under "
                    + "public_url of its configuration or the address in the browser")
        }
    }
}

extension HTTPField.Name {
    /// Where a browser's request comes from, relative to where it goes (W3C Fetch Metadata).
    static var secFetchSite: Self { constant("Sec-Fetch-Site") }
    /// Of a request that a page of the console sends without anybody's doing.
    static var background: Self { constant("X-Background") }
}
