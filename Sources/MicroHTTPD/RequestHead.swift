import CMicrohttpd
import Glibc
import HTTPMessage
import HTTPTypes

/// The target of a request as it was sent. libmicrohttpd only offers a decoded path that ends at `%00`.
struct RawTarget {
    var path = ""
    var query: String?
    /// Whether it is in origin form, `/…`, or the `*` of OPTIONS, and has visible ASCII only.
    var isValid = false
    /// Its bytes.
    var size: Int { path.utf8.count + (query?.utf8.count ?? 0) }

    init(_ target: UnsafePointer<CChar>?) {
        guard let target = unsafe target else { return }
        let bytes = unsafe UnsafeRawBufferPointer(start: target, count: strlen(target))
        let mark = unsafe bytes.firstIndex(of: UInt8(ascii: "?"))
        path = unsafe String(decoding: bytes[..<(mark ?? bytes.count)], as: UTF8.self)
        if let mark { query = unsafe String(decoding: bytes[(mark + 1)...], as: UTF8.self) }
        let visible = unsafe bytes.allSatisfy { (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "#") }
        isValid = visible && (path.utf8.first == UInt8(ascii: "/") || (path == "*" && query == nil))
    }
}

/// Reads the fields of a request, and finds what is wrong with them.
struct FieldReader {
    private(set) var fields = HTTPFields()
    /// The length of the body by the head; `nil` without one.
    private(set) var contentLength: UInt64?
    private(set) var isChunked = false
    /// The size of the fields in bytes, including what libmicrohttpd stores beside each.
    private(set) var size = 0
    /// Why the head cannot be trusted: two parsers may read such a request as two different ones.
    private(set) var fault: String?
    private var hasHost = false
    private var hasAuthorization = false

    /// Reads what libmicrohttpd parsed. Each byte is copied once.
    init(_ handle: ConnectionHandle, version: String) {
        let count = unsafe withUnsafeMutablePointer(to: &self) { reader in
            unsafe handle.visitFields(Self.visit, reader)
        }
        if count > 0 { fields.reserveCapacity(count) }
        if !hasHost && version != "HTTP/1.0" { fail("no Host field") }
        if isChunked && contentLength != nil { fail("Transfer-Encoding beside Content-Length") }
        if isChunked && version == "HTTP/1.0" { fail("Transfer-Encoding in HTTP/1.0") }
    }

    private static let host = HTTPField.Name("Host")

    private static let visit: MHD_KeyValueIteratorN = { reader, _, name, nameLength, value, valueLength in
        guard let reader = unsafe reader?.assumingMemoryBound(to: FieldReader.self) else { return .NO }
        let name = unsafe UnsafeBufferPointer(start: name, count: nameLength)
        let value = unsafe UnsafeBufferPointer(start: value, count: value == nil ? 0 : valueLength)
        unsafe reader.pointee.add(UnsafeRawBufferPointer(name), UnsafeRawBufferPointer(value))
        return .YES
    }

    private mutating func add(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) {
        size += name.count + value.count + 64
        guard let name = HTTPField.Name(unsafe String(decoding: name, as: UTF8.self)) else {
            return fail("a field name that is no token")
        }
        guard unsafe value.allSatisfy({ $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 }) else {
            return fail("a control character in \(name)")
        }
        let field = unsafe HTTPField(name: name, value: value)
        // Even a blank around these may be read in two different ways.
        let isFraming = name == .contentLength || name == .transferEncoding
        if isFraming, field.value.utf8.count != value.count { return fail("white space around \(name)") }
        note(field)
        fields.append(field)
    }

    private mutating func note(_ field: HTTPField) {
        switch field.name {
        case Self.host:
            if hasHost { fail("more than one Host field") }
            hasHost = true
        case .authorization:
            if hasAuthorization { fail("more than one Authorization field") }
            hasAuthorization = true
        case .contentLength:
            if contentLength != nil { fail("more than one Content-Length field") }
            let digits = field.value.utf8.allSatisfy { (0x30...0x39).contains($0) }
            guard digits, let length = UInt64(field.value) else { return fail("a Content-Length that is no number") }
            contentLength = length
        case .transferEncoding:
            if isChunked || field.value.lowercased() != "chunked" { fail("a Transfer-Encoding other than chunked") }
            isChunked = true
        default:
            break
        }
    }

    private mutating func fail(_ reason: String) {
        if fault == nil { fault = reason }
    }
}
