import AgentModel
import StrictJSON

/// Checks on the object that an edit names.
extension Look {
    /// Whether it is there, or is not, as the method needs.
    func objectFits() -> [Check] {
        guard let call = calls.first, let object = findings.observed.shown["object"], let path = object["path"]?.string
        else { return [] }
        if call.method != .post, object["exists"] == false {
            return [Check("object-exists", .block, "there is no \(path)")]
        }
        if call.path == ["storage"], object["exists"] == true {
            return [Check("object-exists", .block, "\(path) exists already; change it with PUT \(path)")]
        }
        return []
    }
}
