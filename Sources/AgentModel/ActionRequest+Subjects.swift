import StrictJSON

/// What a request names, by its parameters and by the calls that carry it out. The owner and the state of these objects
/// are known only to PVE.
extension ActionRequest {
    /// Nodes, storages and pools that parameters name, in the order of the catalogue. They are recognised by the form
    /// of the parameter, so a parameter that is new in the catalogue is included.
    package var namedSubjects: [Subject] {
        // The parameters of a spelled-out endpoint have the same names as the others.
        let members = params.members + (params["params"]?.object?.members ?? [])
        var found: [Subject] = []
        for parameter in definition.parameters where !isPlace(parameter) {
            for member in members where parameter.matches(member.key) {
                let texts = (member.value.array ?? [member.value]).compactMap {
                    $0.string ?? ($0.object == nil ? $0.text : nil)
                }
                found += texts.flatMap { Self.subjects(member.key, $0, of: parameter.form) }
            }
        }
        return found
    }

    /// Guests that parameters name by number: those that the request is about, and those that it creates.
    package var namedGuests: [(id: VMID, role: Subject.Role)] {
        definition.parameters.flatMap { parameter -> [(id: VMID, role: Subject.Role)] in
            let isNew = if case .newGuest(parameter.name) = definition.changes { true } else { false }
            return params.members.filter { parameter.matches($0.key) }.flatMap { member in
                (member.value.array ?? [member.value]).compactMap { value in
                    Self.guest(value, of: parameter.form).map { ($0, isNew ? .affected : .member) }
                }
            }
        }
    }

    private static func guest(_ value: JSON, of form: ParameterDefinition.Form) -> VMID? {
        switch form {
        case .list(let element, _): guest(value, of: element)
        case .integer(ActionCatalog.vmid): VMID(value.text)
        case .text(.resource): value.string.flatMap { $0.split(separator: ":").last.flatMap { VMID($0) } }
        case .boolean, .integer, .number, .text, .choice, .object: nil
        }
    }

    /// Whether the parameter says where the target is, not what to change.
    private func isPlace(_ parameter: ParameterDefinition) -> Bool {
        guard parameter.name == "node", parameter.agentOnly, definition.expects == .present else { return false }
        if case .tasksAll = target { return false }
        return true
    }

    private static func subjects(_ key: String, _ text: String, of form: ParameterDefinition.Form) -> [Subject] {
        switch form {
        case .list(let element, _): return subjects(key, text, of: element)
        case .text(.node): return [Subject(.affected, "node/\(text)")]
        case .text(.rankedNode): return [Subject(.affected, "node/\(text.prefix { $0 != ":" })")]
        case .text(.storage): return [Subject(.affected, "storage/\(text)")]
        case .text(.storageMap):
            return text.split(whereSeparator: { ",:".contains($0) }).filter { $0 != "1" }
                .map { Subject(.affected, "storage/\($0)") }
        case .text(.pool):
            let names = PoolName(text)?.subjectNames ?? []
            return [Subject(.affected, "pool/\(text)", aliases: Array(names.dropFirst()))]
        case .text(.volume): return VolumeName(text).map { subjects($0) } ?? []
        // A storage's nodes, in one text as PVE has them.
        case .text where key == "nodes":
            return text.split(separator: ",").compactMap { NodeName(String($0)) }.map {
                Subject(.affected, "node/\($0)")
            }
        case .text: return subjects(inSettings: text, of: key)
        case .boolean, .integer, .number, .choice, .object: return []
        }
    }

    /// Volumes and storages that the value of a key such as `scsi0` names.
    private static func subjects(inSettings text: String, of key: String) -> [Subject] {
        guard PropertyString.holdsVolume(key) else { return [] }
        return text.split(separator: ",").flatMap { part -> [Subject] in
            let pair = part.split(separator: "=", maxSplits: 1)
            let holdsVolume =
                pair.count == 1 || key == "cicustom" || ["file", "volume", "import-from"].contains(pair[0])
            guard holdsVolume, let value = pair.last, let volume = VolumeName(value) else { return [] }
            return subjects(volume)
        }
    }

    /// The volume and its storage; for a volume that does not exist yet, only the storage.
    private static func subjects(_ volume: VolumeName) -> [Subject] {
        let isNew = volume.storage != nil && volume.name.utf8.allSatisfy { TextForm.isDigit($0) || $0 == 0x2E }
        return (volume.storage.map { [Subject(.affected, "storage/\($0)")] } ?? [])
            + (isNew ? [] : [Subject(.source, "volume/\(volume.description)")])
    }
}

extension Call {
    /// Numbers of guests in all texts of the call that could name a volume or an archive, in its path too.
    package var ownerIDs: [VMID] { ownerTexts.flatMap(VolumeName.owners) }

    /// All texts of the call that could name a volume or an archive.
    package var ownerTexts: [String] {
        // `/nodes/{node}/storage/{storage}/content/{volume}`
        var texts = path.firstIndex(of: "content").map { Array(path[($0 + 1)...]) } ?? []
        for (name, value) in parameters where !ParameterDefinition.namesNothing(name) {
            switch value {
            case .text(let text): texts.append(Self.withoutLabels(text))
            case .list(let list): texts += list
            // A text that is secret only because of the user name in a URL may also name a volume.
            case .secret(let secret) where !ParameterDefinition.isSecret(name): texts.append(secret.reveal())
            case .secret, .observedDigest: break
            }
        }
        return texts
    }

    /// The setting without the parts that are only the guest's labels for a disk.
    private static func withoutLabels(_ text: String) -> String {
        let labels = ["mp=", "serial=", "wwn=", "name="]
        return text.split(separator: ",").filter { part in !labels.contains { part.hasPrefix($0) } }
            .joined(separator: ",")
    }
}

extension ParameterDefinition {
    /// Parameters that hold notes, names or network addresses. A text there that looks like a volume is not one.
    package static func namesNothing(_ name: String) -> Bool {
        ["ipconfig[n]", "net[n]", "usb[n]"].contains { $0.names(name) } || silent.contains(name)
    }

    private static let silent: Set<String> = [
        "description", "comment", "notes-template", "name", "hostname", "snapname", "url", "nameserver",
        "searchdomain", "cidr", "source", "dest", "tags", "schedule", "digest", "server", "portal", "monhost",
        "export", "command",
    ]
}
