package import AgentModel
import StrictJSON

/// Every way to name vm/101, or a volume of its, by a parameter of an action of the catalogue.
package enum Naming {
    /// Parameters whose texts name nothing at PVE; a new one is not among them unless somebody puts it here.
    package static let silent: Set<String> = [
        "description", "comment", "notes-template", "name", "hostname", "snapname", "url", "nameserver",
        "searchdomain", "cidr", "source", "dest", "tags", "schedule", "ipconfig[n]", "net[n]", "usb[n]", "server",
        "portal", "monhost", "export", "command",
    ]
    /// Those of our own that reach no call.
    package static let unsent: Set<String> = [
        "node", "op", "endpoint", "method", "object", "mode", "safety_snapshot",
    ]

    package static let spellings = [
        "ceph:vm-101-disk-0", "ceph:base-900-disk-0/vm-101-disk-0",
        "local:900/base-900-disk-0.qcow2/101/vm-101-disk-0.qcow2",
        "local:101/x.qcow2", "ceph:vm-101-state-before", "local:backup/vzdump-qemu-101-2026_11_20-03_00_01.vma.zst",
        "pbs:backup/vm/101/2026-11-20T03:00:01Z", "/dev/pve/vm-101-disk-0", "/dev/mapper/pve-vm--101--disk--0",
        "/var/lib/vz/images/101/vm-101-disk-0.raw", "file=ceph:vm-101-disk-0,discard=on",
        "ceph:8,import-from=ceph:vm-101-disk-0",
    ]

    /// A value of the form that names vm/101, where the form can take one.
    private static func values(_ form: ParameterDefinition.Form) -> [JSON] {
        switch form {
        case .text(.resource): ["vm:101"]
        case .text(let text): spellings.filter(text.matches).map { .string($0) }
        case .integer(let bounds) where bounds == 100...999_999_999: [101]
        case .list(let element, _): values(element).map { [$0] }
        case .object: spellings.map { ["path": .string($0)] } + [["vmid": 101], ["vms": "100,101"]]
        case .boolean, .integer, .number, .choice: []
        }
    }

    /// Every request that names vm/101 by one parameter, and not by its target.
    package static let requests: [ActionRequest] = requests(on: "555", spellings: .max)

    /// Those with so many spellings for each parameter, where the target's guest is another one.
    package static func requests(on guest: String, container: String = "200", spellings: Int) -> [ActionRequest] {
        Action.allCases.flatMap { action -> [ActionRequest] in
            Variant.all(of: action).flatMap { variant -> [ActionRequest] in
                var target = variant.target
                for (old, new) in [("/101", "/" + guest), ("/200", "/" + container)] where target.hasSuffix(old) {
                    target = target.dropLast(old.count) + new
                }
                return ActionCatalog.definition(of: action).parameters.flatMap { parameter in
                    requests(variant, on: target, naming: parameter).prefix(spellings)
                }
            }
        }
    }

    private static func requests(
        _ variant: Variant, on target: String, naming parameter: ParameterDefinition
    ) -> [ActionRequest] {
        // What the guest calls a disk, and where it sees it.
        let isLabel = variant.action.rawValue == "attach_disk" && ["serial", "path"].contains(parameter.name)
        guard !isLabel, !silent.contains(parameter.name), !unsent.contains(parameter.name) else { return [] }
        let key = parameter.count == nil ? parameter.name : "\(parameter.name.dropLast(3))3"
        guard !ParameterDefinition.isSecret(key) else { return [] }
        return values(parameter.form).compactMap { value in
            var params = variant.params
            params[key] = value
            return try? ActionRequest.sample(variant.action, target, .object(params))
        }
    }
}
