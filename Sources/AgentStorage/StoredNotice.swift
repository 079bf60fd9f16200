import AgentModel
import AgentService
import StrictJSON

// Notices as the store keeps them. Their names are not those of what is sent.

extension Notice: Stored {
    var stored: JSON {
        [
            "event": JSON(event), "outcome": outcome.map { JSON($0) }, "at": JSON(at),
            "environment": environment.map { JSON(describing: $0) }, "plan": planID.map { JSON(describing: $0) },
            "operation": operationID.map { JSON(describing: $0) }, "risk": risk.map { JSON($0) },
            "title": .string(title), "facts": JSON(facts),
        ]
    }

    init(stored fields: inout StoredFields) throws(RowDecodingError) {
        self.init(
            try fields.parsed("event", Event.init), outcome: try fields.findParsed("outcome", OperationState.init),
            at: try fields.date("at"), environment: try fields.findParsed("environment", EnvironmentName.init),
            planID: try fields.findParsed("plan") { RecordID($0, .plan) },
            operationID: try fields.findParsed("operation") { RecordID($0, .operation) },
            risk: try fields.findParsed("risk", Risk.init), title: try fields.text("title"),
            facts: try fields.list("facts"))
    }
}

extension Notice.Fact: Stored {
    var stored: JSON { ["name": .string(name), "text": .string(text), "source": JSON(source)] }

    init(stored fields: inout StoredFields) throws(RowDecodingError) {
        self.init(try fields.text("name"), try fields.text("text"), try fields.parsed("source", Notice.Source.init))
    }
}
