import AgentModel
import AgentTestSupport
import StrictJSON
import Testing

/// What a rule about an action holds for besides: requests that do the same by another name.
struct EquivalentTests {
    @Test func `every action does what others do as it is written down`() throws {
        var lines: [String] = []
        for variant in Action.allCases.flatMap(Variant.all(of:)) {
            let plain = Self.others(try variant.request())
            if !plain.isEmpty { lines.append("\(variant): \(plain.joined(separator: " "))") }
            for more in Self.additions(to: variant) {
                guard let request = try? variant.request(more) else { continue }
                let others = Self.others(request)
                guard others != plain else { continue }
                lines.append("\(variant) + \(JSON.object(more).text): \(others.joined(separator: " "))")
            }
        }
        try expectGolden(lines, "equivalents.txt")
    }

    private static func others(_ request: ActionRequest) -> [String] {
        request.equivalents.subtracting([request.action]).map(\.rawValue).sorted()
    }

    /// Each parameter by itself: flags both ways, words one by one, what is listed for deletion, and texts that fit.
    private static func additions(to variant: Variant) -> [JSONObject] {
        ActionCatalog.definition(of: variant.action).parameters.flatMap { parameter -> [JSONObject] in
            let key = parameter.count == nil ? parameter.name : "\(parameter.name.dropLast(3))1"
            return values(of: parameter).map { [key: $0] }
        } + [
            ["delete": ["scsi1", "net1"], "force": true], ["delete": ["mp1"]], ["delete": ["unused0"]],
            ["delete": ["tags"]],
        ]
    }

    private static func values(of parameter: ParameterDefinition) -> [JSON] {
        switch parameter.form {
        case .boolean: [true, false]
        case .choice(let words): words.map { .string($0) }
        case .list(.text, _): [["web"], ["memory"]]
        case .text: ["keep-last=1", "nas:8", "x", "ssh-ed25519 AAAA x"]
        case .integer, .number, .list, .object: []
        }
    }
}
