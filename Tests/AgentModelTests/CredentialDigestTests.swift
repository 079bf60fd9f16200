import AgentModel
import Testing

struct CredentialDigestTests {
    @Test func `the digest is the SHA-256 and reads as it prints`() {
        let digest = CredentialDigest(of: "abc".utf8)
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        #expect(digest.description == text)
        #expect(CredentialDigest(text) == digest)
    }

    @Test(arguments: [
        "", "ab", String(repeating: "A", count: 64), String(repeating: "0", count: 63),
        String(repeating: "0", count: 65), String(repeating: "g", count: 64), String(repeating: "é", count: 32),
    ])
    func `other text is no digest`(text: String) { #expect(CredentialDigest(text) == nil) }

    @Test func `a digest is the same as itself, and as none that differs in one bit`() throws {
        let zero = try #require(CredentialDigest(String(repeating: "0", count: 64)))
        #expect(zero.mask(of: zero) == .max)
        for place in 0..<64 {
            for digit in "1248" {
                var text = [Character](repeating: "0", count: 64)
                text[place] = digit
                let other = try #require(CredentialDigest(String(text)))
                #expect(zero.mask(of: other) == 0 && other.mask(of: zero) == 0)
                #expect(other.mask(of: other) == .max)
            }
        }
    }
}
