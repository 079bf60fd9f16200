package import AgentModel
package import AgentService
package import HTTPMessage
import HTTPTypes

/// Who may read the figures.
extension Authenticator {
    /// Throws unless the request may read the figures: with the scrape token, or as a principal that may view
    /// everything, which is returned. If there is no scrape token, also from this machine without credentials.
    package func checkMayScrape(_ request: Request) throws(ServiceError) -> Principal? {
        let token = currentScrapeToken
        if let token, let header = request.fields[.authorization], Self.isToken(token, in: header) { return nil }
        if token == nil, !request.fields.contains(.authorization), request.certificate == nil, request.isLocal {
            return nil
        }
        let principal: Principal
        do throws(ServiceError) { principal = try self.principal(of: request) } catch {
            guard error.code != .authNotConfigured else { throw Self.closed(token != nil) }
            throw error
        }
        guard principal.mayEverywhere(.view) else {
            throw ServiceError(
                .forbidden,
                "\(principal.id) may not read figures about all environments: it takes "
                    + "\(AccessControl.roles(for: .view)) and no limit to environments, or the token of metrics.token_file"
            )
        }
        return principal
    }

    private static func closed(_ hasToken: Bool) -> ServiceError {
        ServiceError(
            .unauthenticated,
            hasToken
                ? "send the scrape token of the configuration as Authorization: Bearer TOKEN"
                : "only this machine may read figures without a token; set metrics.token_file and send that token")
    }
}

extension Request {
    /// Whether a client on this machine sent it for itself: from a loopback address, to a loopback name, and not by way
    /// of a proxy that says so. The name keeps out web pages that had their own name resolved to loopback.
    fileprivate var isLocal: Bool {
        guard ListenAddress(peer)?.isLoopback == true, let host = fields[.host] else { return false }
        let isNamed = (ListenAddress(host) ?? ListenAddress(host + ":80"))?.isLoopback ?? false
        return isNamed && HTTPField.Name.ofProxies.allSatisfy { fields[$0] == nil }
    }
}

extension HTTPField.Name {
    fileprivate static let ofProxies = ["Forwarded", "Via", "X-Forwarded-For", "X-Real-IP"].map(constant)
}
