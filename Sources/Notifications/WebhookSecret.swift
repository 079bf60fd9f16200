import AgentModel
import Crypto
import FoundationEssentials

/// A secret that signs webhooks, as Standard Webhooks 1.0 has them: `whsec_` and 24 to 64 bytes in base64.
package struct WebhookSecret: Sendable {
    private let key: Secret

    package init?(_ text: String) {
        guard text.hasPrefix("whsec_"), let bytes = Self.bytes(text.dropFirst(6)), (24...64).contains(bytes.count)
        else {
            return nil
        }
        key = Secret(text)
    }

    /// The secrets of a text, with blanks or line ends between them: while one changes there are several. `nil` if one
    /// of them is none, or there are none.
    package static func list(_ text: String) -> [WebhookSecret]? {
        let words = text.split { $0.isWhitespace }
        let secrets = words.compactMap { WebhookSecret(String($0)) }
        return words.isEmpty || secrets.count < words.count || secrets.count > 4 ? nil : secrets
    }

    private static func bytes(_ base64: some StringProtocol) -> Data? { Data(base64Encoded: String(base64)) }

    /// `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`.
    func signature(of body: [UInt8], id: String, timestamp: Int64) -> String {
        // Reveals the secret: to the function that signs with it.
        let key = SymmetricKey(data: Self.bytes(key.reveal().dropFirst(6)) ?? Data())
        let signed = Array("\(id).\(timestamp).".utf8) + body
        return "v1," + Data(HMAC<SHA256>.authenticationCode(for: signed, using: key)).base64EncodedString()
    }
}
