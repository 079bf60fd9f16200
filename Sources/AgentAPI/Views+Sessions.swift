import AgentModel
import AgentService
import Signatures
import StrictJSON

/// Who is signed in, as `GET /v1/session` shows it.
struct IdentityRow {
    let principal: Principal
    let session: ConsoleSession?
    let installation: Installation
    let rpID: String
}

/// A session, and whether it is the caller's own.
struct SessionRow {
    let session: ConsoleSession
    let isOwn: Bool

    init(_ session: ConsoleSession, isOwn: Bool = true) {
        self.session = session
        self.isOwn = isOwn
    }
}

extension Views {
    static let identity = View<IdentityRow>(
        "Identity", "Who sends a request, and what they may do.",
        [
            .always("principal", .text) { .string($0.principal.id) },
            .always("shared", .boolean, "it is the one shared token, whose approvals are only declared") {
                .bool($0.principal.isShared)
            },
            .always("rights", .list(.words(Right.self))) { row in
                JSON(Right.allCases.filter(row.principal.rights.contains).map(\.rawValue))
            },
            .always("environments", Schema.list(Schema(TextForm.environment)).orNull, "null for all") {
                $0.principal.environments.map { JSON($0.map(\.description).sorted()) } ?? .null
            },
            .always("origin", .text, "the agent's name in signatures and checkpoints") {
                .string($0.installation.origin)
            },
            .always("public_url", Schema.text.orNull, "where people reach the agent") {
                $0.installation.publicURL.map { .string($0) } ?? .null
            },
            .always("approval_keys", .list(approvalKey.schema), "the keys that sign the caller's approvals") { row in
                .array(row.principal.approvalKeys.map { approvalKey($0) })
            },
            .always("rp_id", .text, "the relying party of passkeys (WebAuthn)") { .string($0.rpID) },
            .always("session", Schema.named("Session").orNull, "null for a token") {
                $0.session.map { session(SessionRow($0)) } ?? .null
            },
        ])

    static let approvalKey = View<ApprovalKey>(
        "ApprovalKey", "A public key that signs approvals.",
        [
            .always("kind", .text, "an SSH key's type, or `passkey`") { .string($0.kind) },
            .always("fingerprint", .text) { .string($0.fingerprint) },
            .maybe("credential_id", .text, "a passkey's, in base64url") { $0.credentialID.map { .string($0) } },
            .always("hardware", .boolean, "it is on a security key") { .bool($0.isHardware) },
            .always("comment", .text) { .string($0.comment) },
        ])

    static let session = View<SessionRow>(
        "Session", "A signed-in browser.",
        [
            .always("id", .id(.session)) { .string($0.session.id.description) },
            .always("current", .boolean, "the request itself uses it") { .bool($0.isOwn) },
            .always("created_at", .time) { .string($0.session.createdAt.rfc3339) },
            .always("last_used_at", .time) { .string($0.session.lastUsedAt.rfc3339) },
            .always("expires_at", .time, "when it ends in any case") { .string($0.session.expiresAt.rfc3339) },
            .always("idle_expires_at", .time, "when it ends if it is not used") {
                .string($0.session.idleExpiresAt.rfc3339)
            },
            .always("user_agent", .text, "what the browser calls itself") { .string($0.session.userAgent) },
        ])
}

extension Envelopes {
    static let sessions = Component("SessionList", Schema.object(["sessions": .list(Views.session.schema)]))
    static let signIn = Component(
        "SignIn",
        Schema.object(
            [
                "token": Schema.text.described("the token of a principal"),
                "code": Schema.text.described("a one-time code"),
                "passkey": Schema.object(
                    ["credential_id": .text, "client_data": .text, "authenticator_data": .text, "signature": .text],
                    isOpen: false
                ).described("the answer of a passkey to a challenge, each part in base64url without padding"),
            ], optional: ["token", "code", "passkey"], isOpen: false
        ).described("One of its members."))
    static let challenge = Component(
        "SignInChallenge", Schema.object(["challenge": .text, "rp_id": .text, "expires_at": .time]))
    static let signInCode = Component(
        "SignInCode",
        Schema.object([
            "code": .text, "expires_at": .time, "url": Schema.text.orNull.described("where to enter it"),
        ]))
}
