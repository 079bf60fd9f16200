internal import Glibc

/// Resolves host names as this machine does.
package enum HostAddress {
    /// The addresses of a host name or address, numeric, in the resolver's order (`getaddrinfo`, `getnameinfo`); empty
    /// if there are none. Blocks until the resolver returns.
    package static func all(of host: String) -> [String] {
        var hints = unsafe addrinfo()
        unsafe hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        var list: UnsafeMutablePointer<addrinfo>?
        guard unsafe getaddrinfo(host, nil, &hints, &list) == 0 else { return [] }
        defer { unsafe freeaddrinfo(list) }
        var found: [String] = []
        var next = unsafe list
        while let entry = unsafe next?.pointee {
            var name = [CChar](repeating: 0, count: Int(NI_MAXHOST))
            let code = unsafe getnameinfo(
                entry.ai_addr, entry.ai_addrlen, &name, socklen_t(name.count), nil, 0, NI_NUMERICHOST)
            let text = String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            if code == 0, !found.contains(text) { found.append(text) }
            unsafe next = unsafe entry.ai_next
        }
        return found
    }

    /// The `nameserver` lines of a `resolv.conf(5)`, in their order.
    package static func nameServers(in text: String) -> [String] {
        text.split(whereSeparator: \.isNewline).compactMap { line in
            let words = line.split { $0 == " " || $0 == "\t" }
            return words.count >= 2 && words[0] == "nameserver" ? String(words[1]) : nil
        }
    }
}
