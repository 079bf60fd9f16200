@testable package import PVESimulator

/// The simulator's API as data, for a comparison with Proxmox VE's schema.
extension Simulator {
    /// One method of one path.
    package struct Method: Sendable, Hashable {
        package var method: String
        /// `/nodes/{node}/qemu`
        package var path: String
        /// By name; numbered parameters as `net[n]`.
        package var parameters: [String: Parameter]
        /// `"/vms/{vmid} VM.Audit|VM.Console"`: the caller needs one of the privileges on the path. Empty if the
        /// handler decides.
        package var needs: String
    }

    package struct Parameter: Sendable, Hashable {
        /// `boolean`, `integer`, `number`, `string` or `array`.
        package var type: String
        package var isRequired: Bool
        package var choices: [String]
        /// The bounds of an integer's value or a string's length.
        package var minimum: Int?
        package var maximum: Int?
        /// The name of its format or of its kind of property list.
        package var format: String?
        /// The keys of a property list.
        package var keys: Set<String>?
        /// Another parameter that must also be present.
        package var requires: String?
    }

    /// All methods of all paths, in the order of the tables.
    package static var surface: [Method] {
        EndpointTable.list.map { endpoint in
            let table = endpoint.parameters
            var parameters: [String: Parameter] = [:]
            for (name, type) in table.named { parameters[name] = Parameter(type, isRequired: table.isRequired(name)) }
            for (stem, type) in table.indexed { parameters[stem + "[n]"] = Parameter(type, isRequired: false) }
            return Method(
                method: endpoint.method, path: "/" + endpoint.path.replacing("*}", with: "}"), parameters: parameters,
                needs: endpoint.needs)
        }
    }
}

extension Simulator.Parameter {
    fileprivate init(_ type: ParameterType, isRequired: Bool) {
        self.init(
            type: type.name, isRequired: isRequired, choices: type.choices, minimum: type.minimum,
            maximum: type.maximum, format: type.format?.word ?? type.properties?.name ?? type.shape?.name,
            keys: type.properties?.keys,
            requires: type.requires)
    }
}
