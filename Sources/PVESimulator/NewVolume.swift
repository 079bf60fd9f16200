/// Naming and keeping volumes.
extension ClusterState {
    /// A name for a new volume of `vmid` that no disk of the guest has.
    mutating func newVolume(on storage: String, for vmid: Int, format: String, besides guest: Guest) -> String {
        let definition = self.storage(storage)
        let used =
            guest.config.fileText + guest.snapshots.map(\.config.fileText).joined()
            + volumes.filter { $0.vmid == vmid }.map(\.id).joined(separator: "\n")
        let number = (0...).first {
            !used.contains("\(storage):\(definition?.folder(of: vmid) ?? "")vm-\(vmid)-disk-\($0)")
        }
        let name = "vm-\(vmid)-disk-\(number ?? 0)"
        guard let definition, definition.holdsFiles else { return "\(storage):\(name)" }
        return "\(storage):\(vmid)/\(name).\(format)"
    }
}

extension Guest {
    /// Notes a volume that is the guest's and not attached.
    mutating func addUnused(_ volume: String, size: String? = nil) {
        detachedSizes[volume] = size
        let free = (0...).first { config["unused\($0)"] == nil } ?? 0
        config["unused\(free)"] = volume
    }
}
