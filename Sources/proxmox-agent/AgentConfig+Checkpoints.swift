import AgentModel
import AgentService
import AgentStorage
import CurlHTTP
import StrictJSON
import TransparencyLog

extension AgentConfig {
    /// A witness of the audit log, as in the file.
    struct WitnessSettings: Sendable {
        let origin: HTTPOrigin
        /// What its URL has behind the origin, without a slash at its end.
        let path: String
        let trust: ServerTrust
        let key: VerifierKey
    }

    /// The key that signs checkpoints in the name of `origin`; `nil` if that cannot be a key's name.
    static func checkpointKey(_ key: InstallationKey, _ origin: String) -> SigningKey? {
        SigningKey(name: origin, use: .log, seed: key.checkpointSeed)
    }
}

/// Reads the witnesses.
extension ConfigReading {
    func witnesses(_ reader: inout ObjectReader, _ config: inout AgentConfig) {
        reader.each("audit_witnesses") { _, inner in
            let form = "a witness's verifier key, NAME+8 hexadecimal digits+base64, as proxmox-agent witness prints it"
            let key = inner.parsed("key", form, Self.witnessKey)
            let text = inner.string("url")
            let place = text.flatMap { self.place($0, &inner) }
            inner.require("url", "the URL of the witness, https://host[:port][/path]")
            inner.require("key", form)
            let trust = self.trust(&inner)
            guard let key, let place else { return }
            if place.origin.scheme == .http, trust != .system {
                inner.report("tls", "is for https://; this is http://")
            }
            if config.witnesses.contains(where: { $0.key.name == key.name }) {
                inner.report("key", "another witness has the name \(key.name); names are unique")
            }
            config.witnesses.append(
                AgentConfig.WitnessSettings(origin: place.origin, path: place.path, trust: trust, key: key))
        }
        if config.witnesses.count > 16 { reader.report("audit_witnesses", "names more than 16 witnesses") }
    }

    private static func witnessKey(_ text: String) -> VerifierKey? {
        VerifierKey(text).flatMap { $0.use == .witness ? $0 : nil }
    }

    private func place(_ text: String, _ reader: inout ObjectReader) -> (origin: HTTPOrigin, path: String)? {
        let start = text.firstRange(of: "://").map(\.upperBound) ?? text.startIndex
        let slash = text[start...].firstIndex(of: "/") ?? text.endIndex
        let path = text[slash...].hasSuffix("/") ? text[slash...].dropLast() : text[slash...]
        guard
            path.utf8.allSatisfy({
                (0x30...0x39).contains($0) || (0x61...0x7A).contains($0 | 0x20) || "/-._~".utf8.contains($0)
            })
        else {
            reader.report("url", "has a path with other characters than A-Z a-z 0-9 - . _ ~ /")
            return nil
        }
        do throws(HTTPOrigin.Invalid) { return (try HTTPOrigin(parsing: String(text[..<slash])), String(path)) } catch {
            let detail =
                switch error {
                case .plaintextBeyondLoopback: "http:// is for loopback only; use https://"
                case .scheme, .host, .port, .notOnlyOrigin: "must be https://host[:port][/path]"
                }
            reader.report("url", detail)
            return nil
        }
    }
}
