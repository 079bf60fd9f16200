package import AgentModel
package import StrictJSON

/// The least that each action can be asked for with: the catalogue's first example.
package enum MinimalRequest {
    package static func params(of action: Action) -> JSONObject {
        ActionCatalog.definition(of: action).examples.first ?? [:]
    }

    package static func target(of action: Action) -> String {
        ActionCatalog.definition(of: action).targets[0].example
    }

    package static func request(_ action: Action, dryRun: Bool? = nil) throws(RequestError) -> ActionRequest {
        try .sample(action, target(of: action), .object(params(of: action)), dryRun: dryRun)
    }
}
