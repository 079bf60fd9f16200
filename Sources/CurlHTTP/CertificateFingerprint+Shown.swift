internal import CCurl
package import HTTPMessage
internal import SystemThread

extension CertificateFingerprint {
    /// The fingerprint of the certificate that `origin` shows, trusted or not, for a person to compare. The handshake
    /// ends there; no request is sent.
    ///
    /// - Throws: `TransportError.unreachable` if there was no certificate.
    package static func shown(
        by origin: HTTPOrigin, within timeout: Duration = .seconds(10)
    ) async throws(TransportError) -> CertificateFingerprint {
        let result: Result<CertificateFingerprint, TransportError> = await withCheckedContinuation { continuation in
            do throws(OwnThread.Unavailable) {
                try OwnThread.start { continuation.resume(returning: look(at: origin, timeout)) }
            } catch {
                continuation.resume(returning: .failure(.unreachable(error.description)))
            }
        }
        return try result.get()
    }

    private static func look(
        at origin: HTTPOrigin, _ timeout: Duration
    ) -> Result<CertificateFingerprint, TransportError> {
        unsafe withUnsafeTemporaryAllocation(byteCount: 32, alignment: 1) { digest in
            unsafe digest.initializeMemory(as: UInt8.self, repeating: 0)
            guard let place = digest.baseAddress else { return .failure(.unreachable("no memory")) }
            do throws(CurlError) {
                let handle = try CurlHandle()
                try handle.restrict()
                try handle.set(CURLOPT_PROTOCOLS_STR, "https")
                try handle.set(CURLOPT_URL, origin.description)
                try handle.set(CURLOPT_CONNECT_ONLY, 1)
                try handle.set(CURLOPT_TIMEOUT_MS, max(1, timeout.milliseconds))
                try handle.set(CURLOPT_SSL_VERIFYPEER, 1)
                try unsafe handle.setNote(place)
                let code = handle.perform()
                if unsafe digest.contains(where: { $0 != 0 }) {
                    return .success(unsafe CertificateFingerprint(bytes: Array(digest)))
                }
                return .failure(.unreachable(handle.lastError.isEmpty ? code.text : handle.lastError))
            } catch {
                return .failure(.unreachable(error.text))
            }
        }
    }
}
