import AgentModel
import AgentService
import StrictJSON

/// Flags and numbers that PVE shows. One that cannot be parsed is a block, because a check must not pass on it.
extension PreviewBuilder {
    /// The flag of that name; `absent` where it is missing.
    func flag(_ object: JSON?, _ key: String, of what: String, absent: Bool = false) -> Bool {
        guard let value = object?[key] else { return absent }
        if let flag = value.flag { return flag }
        unclear(what, key, value, "neither 0 nor 1")
        return absent
    }

    /// The amount in that field; `nil` where PVE does not tell.
    func amount(_ object: JSON?, _ key: String, of what: String) -> UInt64? {
        guard let value = object?[key] else { return nil }
        if let amount = value.amount { return amount }
        unclear(what, key, value, "no amount")
        return nil
    }

    /// The guest to which a row of a storage's content belongs.
    func owner(_ row: JSON) -> VMID? {
        guard let value = row["vmid"] else { return nil }
        if let id = value.guestID { return id }
        unclear(row["volid"]?.string ?? "a volume", "vmid", value, "no guest's id")
        return nil
    }

    /// Whether a row of the list of guests belongs to a template.
    func isTemplate(_ row: JSON) -> Bool { flag(row, "template", of: GuestRef(row: row)?.description ?? "a guest") }

    func unclear(_ what: String, _ key: String, _ value: JSON, _ why: String) {
        block(
            "PVE shows \(key): \(value.shown) for \(what), which is \(why); set that right there first",
            as: "unclear")
    }
}
