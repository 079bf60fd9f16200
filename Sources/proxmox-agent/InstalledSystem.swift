import AgentModel
import CurlHTTP
import Glibc
import HTTPMessage
import StrictJSON
import SystemFile
import SystemPackage
import SystemService

/// The files of the installed service, below a root.
struct InstalledSystem {
    let root: String
    var config: String { root + "/etc/proxmox-agent/config.json" }
    var credentials: String { root + "/etc/proxmox-agent/credentials" }
    var unit: String { root + "/etc/systemd/system/proxmox-agent.service.d" }
    var dropIn: String { unit + "/addresses.conf" }

    /// The current configuration. It must exist and be writable, and no secret may be readable by others.
    func readConfig() throws(StartError) -> JSONObject {
        let bytes: [UInt8]
        do throws(FileError) { bytes = try readFile(config, limit: 4 << 20) } catch {
            throw StartError("\(config): \(error.detail); is the package installed, and are you root?")
        }
        guard access(config, W_OK) == 0 else { throw StartError("\(config) cannot be written; run it as root") }
        do throws(FileError) { try checkClosed(credentials) } catch {
            throw StartError("\(credentials): \(error.detail)")
        }
        do throws(JSONError) {
            if let object = try JSON.parse(bytes).object { return object }
            throw JSONError(path: JSONPath([]), detail: "is no JSON object")
        } catch {
            throw StartError("\(config): \(error.detail); fix it first")
        }
    }

    /// Writes the secret, the drop-in and finally the configuration that refers to them.
    func write(_ document: JSONObject, credential name: String, _ secret: Secret) throws(StartError) {
        // Reveals the secret: into a file that only root can read, from which systemd passes it to the service.
        try replace("\(credentials)/\(name)", with: secret.reveal() + "\n", mode: 0o600)
        do throws(Errno) { try PrivateFile.makeDirectory(unit, permissions: FilePermissions(rawValue: 0o755)) } catch {
            throw StartError("\(unit) cannot be made: \(error)")
        }
        try replace(dropIn, with: addresses(for: document), mode: 0o644)
        try replace(config, with: JSON.object(document).indentedText() + "\n", mode: 0o640)
    }

    /// The drop-in that lets the service reach only the PVEs of `document` and the DNS servers.
    private func addresses(for document: JSONObject) -> String {
        var lines = [
            "# Written by proxmox-agent init: the service reaches these addresses and loopback, and no others.",
            "# If a PVE node or DNS server gets another address, fix it here, then systemctl daemon-reload and restart the service.",
            "[Service]",
        ]
        for environment in document["environments"]?.array ?? [] {
            guard let name = environment["name"]?.string, let url = environment["base_url"]?.string,
                let origin = try? HTTPOrigin(parsing: url), !origin.isLoopback
            else { continue }
            let found = HostAddress.all(of: origin.host)
            lines.append(found.isEmpty ? "# \(name): \(origin.host) has no address now" : "# \(name): \(origin.host)")
            lines += found.map { "IPAddressAllow=\($0)" }
        }
        let text = String(decoding: (try? readFile("\(root)/etc/resolv.conf", limit: 1 << 20)) ?? [], as: UTF8.self)
        let servers = HostAddress.nameServers(in: text).flatMap(HostAddress.all(of:)).filter { !isLoopback($0) }
        if !servers.isEmpty { lines.append("# DNS") }
        lines += servers.map { "IPAddressAllow=\($0)" }
        return lines.joined(separator: "\n") + "\n"
    }

    private func isLoopback(_ address: String) -> Bool { ListenAddress.tcp(host: address, port: 53).isLoopback }

    /// Replaces the file at `path`, whole or not at all; keeps the owner of the old one.
    private func replace(_ path: String, with text: String, mode: CInterop.Mode) throws(StartError) {
        let new = path + ".new"
        let mode = FilePermissions(rawValue: mode)
        let old = try? Stat(path)
        unlink(new)
        do throws(Errno) {
            let file = try OpenFile(new, .writeOnly, [.create, .exclusiveCreate], permissions: mode)
            try file.write(Array(text.utf8))
            try file.set(owner: old?.userID, group: old?.groupID, permissions: old?.permissions ?? mode)
            try file.sync()
            guard rename(new, path) == 0 else { throw Errno(rawValue: errno) }
            try PrivateFile.syncDirectory(PrivateFile.directory(of: path))
        } catch {
            unlink(new)
            throw StartError("\(new) cannot be written: \(error)")
        }
    }
}
