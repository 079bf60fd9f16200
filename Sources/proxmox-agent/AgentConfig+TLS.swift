import FoundationEssentials
import HTTPMessage
import MicroHTTPD
import StrictJSON

/// Reads the TLS settings of the listener.
extension ConfigReading {
    func tls(_ reader: inout ObjectReader) -> TLSCredentials? {
        let certificate = file("cert_file", &reader, isSecret: false)
        let key = file("key_file", &reader, isSecret: true)
        for name in ["cert_file", "key_file"] { reader.require(name, "the path of a file in PEM form") }
        let hasClients = reader.value("client_ca_file") != nil
        let clients = file("client_ca_file", &reader, isSecret: false)
        guard let certificate, let key, clients != nil || !hasClients else { return nil }
        do throws(TLSError) {
            return try TLSCredentials(
                certificate: certificate.bytes, key: key.bytes, clientAuthorities: clients?.bytes)
        } catch {
            switch error {
            case .certificate(let why): reader.report("cert_file", "\(certificate.path) \(why)")
            case .key(let why): reader.report("key_file", "\(key.path) \(why)")
            case .authorities(let why): reader.report("client_ca_file", "\(clients?.path ?? "") \(why)")
            }
            return nil
        }
    }

    private func file(
        _ key: String, _ reader: inout ObjectReader, isSecret: Bool
    ) -> (path: String, bytes: [UInt8])? {
        reader.parsed(key, "a file's path", { $0.isEmpty ? nil : $0 }).flatMap { file in
            let found = bytes(of: file, key, &reader, limit: 1 << 20, isSecret: isSecret)
            // The same file may contain the key.
            guard !isSecret, let found, String(decoding: found.bytes, as: UTF8.self).contains("PRIVATE KEY-----") else {
                return found
            }
            return bytes(of: file, key, &reader, limit: 1 << 20, isSecret: true)
        }
    }
}

extension AgentConfig {
    /// One line about the certificate; `nil` without TLS.
    var tlsLine: String? {
        tls.map { tls in
            let end = Date(timeIntervalSince1970: Double(tls.validity.upperBound)).formatted(.iso8601)
            return "tls: certificate of \(tls.names.joined(separator: ", ")), valid until \(end)"
        }
    }

    /// Warnings about the listener at `address`, at the time `now`; one line each.
    func listenerWarnings(at address: ListenAddress, now: Date = Date()) -> [String] {
        guard let tls else {
            return address.isLoopback
                ? []
                : [
                    "\(address) can be reached from other machines, and without tls everybody on the way reads the "
                        + "tokens; set tls, or listen on 127.0.0.1 and put a server that speaks TLS before it"
                ]
        }
        let (validity, seconds) = (tls.validity, Int(now.timeIntervalSince1970))
        let line = tlsLine ?? ""
        if seconds < validity.lowerBound { return [line + ": its time has not come yet; clients refuse it"] }
        if seconds >= validity.upperBound { return [line + ": it has expired; clients refuse it"] }
        let early = min(14 * 86_400, validity.count / 3)
        return seconds + early >= validity.upperBound ? [line + ": it expires soon; renew it, then reload"] : []
    }
}
