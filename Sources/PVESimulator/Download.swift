/// What lies behind a URL.
struct Download: Sendable {
    var bytes: Int
    /// By the name of the algorithm.
    var checksums: [String: String]
}

extension ClusterState {
    private static let endings: [String: [String]] = [
        "iso": [".iso", ".img"], "vztmpl": [".tar.gz", ".tar.xz", ".tar.zst", ".tgz"],
        "import": [".qcow2", ".raw", ".vmdk", ".ova"],
    ]

    mutating func download(_ call: EndpointCall) throws(Failure) -> Reply {
        let caller = call.caller
        let mayReach =
            caller.may("Sys.AccessNetwork", on: "/nodes/\(call.node)")
            || (caller.may("Sys.Audit", on: "/") && caller.may("Sys.Modify", on: "/"))
        guard mayReach else { throw .denied("/nodes/\(call.node), Sys.AccessNetwork") }
        let (id, content, name) = (call.text("storage"), call.text("content"), call.text("filename"))
        let storage = try definition(id)
        guard storage.contents.contains(content) else {
            throw Failure("storage '\(id)' is not configured for content-type '\(content)'")
        }
        let isPlain = !name.contains("/") && !name.hasPrefix(".")
        guard isPlain, Self.endings[content]?.contains(where: { name.hasSuffix($0) }) == true else {
            throw .parameters(["filename": "wrong file extension"])
        }
        return run(type: "download", id: name, call) { world, log in
            try world.save(call, as: "\(id):\(content)/\(name)", &log)
        }
    }

    private mutating func save(_ call: EndpointCall, as volume: String, _ log: inout TaskLog) throws(Failure) {
        let url = call.text("url")
        log.lines.append("downloading \(url) to \(volume)")
        if let obstacle = obstacle(to: call.text("storage"), on: call.node, for: nil) { throw Failure(obstacle) }
        let source = downloads[url]
        if let algorithm = call["checksum-algorithm"], let actual = source?.checksums[algorithm],
            actual != call.text("checksum").lowercased()
        {
            log.lines.append("calculating checksum...got '\(actual)', expected '\(call.text("checksum"))'")
            throw Failure("checksum mismatch: got '\(actual)' != expect '\(call.text("checksum"))'")
        }
        guard !volumes.contains(where: { $0.id == volume }) else {
            throw Failure("refusing to override existing file '\(call.text("filename"))'")
        }
        volumes.append(
            Volume(
                id: volume, content: call.text("content"), format: Disk(volume)?.format ?? "raw",
                bytes: source?.bytes ?? 100 << 20, time: second))
        log.lines.append("download of '\(url)' to '\(volume)' finished")
    }
}
