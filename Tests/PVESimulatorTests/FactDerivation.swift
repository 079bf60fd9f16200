import StrictJSON

/// Turns recorded exchanges into facts that can be replayed against another server.
struct FactDerivation {
    private var caseOfTask: [String: String] = [:]
    private var caseOfDigest: [String: String] = [:]
    /// What stands for a digest that no answer before has shown.
    private var substitutes: [String: String] = [:]

    /// Facts in the order of the recorded lines.
    static func facts(in lines: [JSON]) -> [RecordedExchange] {
        var derivation = FactDerivation()
        return lines.compactMap { derivation.fact(of: $0) }
    }

    private mutating func fact(of line: JSON) -> RecordedExchange? {
        guard let name = line["name"]?.string, let auth = line["auth"]?.string, let request = line["request"],
            let response = line["response"], let method = request["method"]?.string, let path = request["path"]?.string,
            let status = response["status_code"]?.integer, let body = response["body"]
        else { return nil }
        let reason = Form.normalised(response["reason"]?.string ?? "")
        let isStale = reason.contains("detected modified") || reason.contains("checksum mismatch")
        let headers = RecordedExchange.pairs(request["headers"]).filter { $0.first != "Accept-Encoding" }
        let fact = RecordedExchange(
            name: name, auth: auth, method: method, path: replaced(path, in: name, isStale: isStale),
            contentType: request["content_type"]?.string,
            body: request["body"]?.string.map { replaced($0, in: name, isStale: isStale) }, headers: headers,
            isWrongSecret: auth.hasPrefix("token") && status == 401 && headers.isEmpty, status: Int(status),
            reason: reason, errors: Form.errors(of: body), shape: Form.shape(of: body), keys: Form.keys(of: body),
            exit: exit(of: line), isNodeLimit: line["note"]?.string?.contains("node limit") == true)
        if let upid = body["data"]?.string, upid.hasPrefix("UPID:") { caseOfTask[upid] = name }
        if let digest = Form.digest(in: body) { caseOfDigest[digest] = name }
        return fact
    }

    private func exit(of line: JSON) -> String? {
        let status = line["task"]?["status"]
        return (status?["exitstatus"] ?? status?["data"]?["exitstatus"])?.string.map { Form.normalised($0) }
    }

    /// `text` with names of cases instead of task numbers and digests.
    private mutating func replaced(_ text: String, in name: String, isStale: Bool) -> String {
        var text = text
        for (upid, origin) in caseOfTask {
            text = text.replacing(upid, with: "{upid:\(origin)}")
            text = text.replacing(Self.encoded(upid), with: "{UPID:\(origin)}")
        }
        guard let range = text.firstRange(of: "digest=") else { return text }
        let digest = String(text[range.upperBound...].prefix { $0.isHexDigit })
        guard digest.count == 40, Set(digest).count > 1 else { return text }
        return text.replacing(digest, with: substitute(for: digest, in: name, isStale: isStale))
    }

    private mutating func substitute(for digest: String, in name: String, isStale: Bool) -> String {
        if let origin = caseOfDigest[digest] { return "{digest:\(origin)}" }
        if let known = substitutes[digest] { return known }
        let zeros = String(repeating: "0", count: 40)
        substitutes[digest] = isStale ? zeros : "{digest:@\(name)}"
        return isStale ? zeros : "{digest:@\(name)}"
    }

    private static func encoded(_ upid: String) -> String {
        upid.replacing(":", with: "%3A").replacing("@", with: "%40").replacing("!", with: "%21")
    }
}
