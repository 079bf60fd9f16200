package import AgentModel
internal import Crypto
internal import StrictJSON

/// One line of the audit log: an event, its position in the chain, and the hashes that fix it there.
package struct AuditRecord: Sendable {
    /// The version of the line's format; the value of its first field `v`.
    package static let version: Int64 = 1
    /// The longest line that is written or read, in bytes, without its newline.
    package static let maximumLineLength = 16 << 20
    /// The deepest nesting of a line. A request may use the whole of ``JSON/maximumDepth`` and is nested in a record.
    package static let maximumDepth = 2 * JSON.maximumDepth

    package let seq: UInt64
    package let time: Timestamp
    /// The agent whose log it is in, by its name; `nil` in the log of a lone one.
    package let agent: String?
    package let event: AuditEvent
    /// The hash of the record before; 64 zeros in the first record.
    package let prev: String
    /// Lower-case hex SHA-256 over the RFC 8785 canonical JSON of the record without this field.
    package let hash: String

    /// The record that follows `head`.
    package init(_ event: AuditEvent, after head: AuditHead, at time: Timestamp, by agent: String? = nil) {
        self.init(event, seq: head.seq + 1, time: time, agent: agent, prev: head.hash)
    }

    /// With its right hash, unless `hash` is one.
    private init(
        _ event: AuditEvent, seq: UInt64, time: Timestamp, agent: String?, prev: String, hash: String? = nil
    ) {
        self.seq = seq
        self.time = time
        self.agent = agent
        self.event = event
        self.prev = prev
        let fields = Self.fields(of: event, seq: seq, time: time, agent: agent, prev: prev)
        self.hash = hash ?? Self.digest(fields)
    }

    /// The head of a chain whose newest record is this one.
    package var head: AuditHead { AuditHead(seq: seq, hash: hash) }
}

// MARK: - Writing

extension AuditRecord {
    /// The record as one line of JSON, without the newline.
    ///
    /// Fields and members keep their order. Numbers are written canonically, so the line and the content of its hash
    /// cannot differ.
    package var line: [UInt8] {
        var object = fields
        object.append("hash", .string(hash))
        return JSON.object(object).bytes(.canonicalNumbers)
    }

    /// The correct hash of the record.
    package var digest: String { Self.digest(fields) }

    private static func digest(_ fields: JSONObject) -> String {
        hexadecimal(SHA256.hash(data: JSON.object(fields).canonicalBytes))
    }

    /// All but its hash.
    private var fields: JSONObject { Self.fields(of: event, seq: seq, time: time, agent: agent, prev: prev) }

    private static func fields(
        of event: AuditEvent, seq: UInt64, time: Timestamp, agent: String?, prev: String
    ) -> JSONObject {
        var object = JSONObject()
        object.append("v", .integer(version))
        object.append("seq", .integer(Int64(clamping: seq)))
        object.append("ts", .string(time.description))
        if let agent { object.append("agent", .string(agent)) }
        object.append("kind", .string(event.kind.rawValue))
        object.append("actor", .string(event.actor))
        object.append("principal", .string(event.principal))
        if let label = event.label { object.append("label", .string(label)) }
        object.append("request_id", event.requestID.map { .string($0) } ?? .null)
        if let trace = event.trace { object.append("trace_id", .string(trace.traceID)) }
        if let parent = event.trace?.parentID { object.append("parent_id", .string(parent)) }
        object.append("environment", event.environment.map { .string($0) } ?? .null)
        if let id = event.planID { object.append("plan_id", .string(id)) }
        if let id = event.operationID { object.append("operation_id", .string(id)) }
        if let request = event.request { object.append("request", request) }
        if let decision = event.decision { object.append("decision", decision) }
        if let result = event.result { object.append("result", result) }
        object.append("prev", .string(prev))
        return object
    }
}

// MARK: - Reading

extension AuditRecord {
    /// Why a line is not a valid record.
    package enum Flaw: Error, Sendable, Hashable {
        /// Not JSON at all, as after a crash.
        case malformed(String)
        /// JSON, but not a record as the agent writes it.
        case shape(String)
        /// A record whose content does not match its hash.
        case hash
    }

    /// Reads one line and checks its JSON, its form and its own hash.
    ///
    /// The form is exact: a line that differs by a byte from what ``line`` would write is refused too.
    package init(line: [UInt8]) throws(Flaw) {
        try self.init(copiedLine: line)
        guard self.line == line else { throw .shape("is not written as the agent writes it") }
        guard hash == digest else { throw .hash }
    }

    /// Reads a copy of a line, which was checked when it was copied: its JSON and its form, but not its bytes and hash.
    package init(copiedLine line: [UInt8]) throws(Flaw) {
        let value: JSON
        do throws(JSONError) {
            value = try JSON.parse(line, maximumDepth: Self.maximumDepth)
        } catch {
            throw .malformed("is not JSON: \(error.detail)")
        }
        guard let object = value.object else { throw .shape("is \(value.kind), not an object") }
        var reader = FieldReader(object)
        let version = try reader.integer("v")
        guard version == Self.version else { throw .shape("has version \(version); known is \(Self.version)") }
        self = try reader.record()
    }

    /// Takes the fields of a line one by one; a field that is left at the end is a flaw.
    private struct FieldReader {
        private var rest: JSONObject

        init(_ object: JSONObject) { rest = object }

        private mutating func take(_ name: String) -> JSON? {
            defer { rest[name] = nil }
            return rest[name]
        }

        mutating func integer(_ name: String) throws(Flaw) -> Int64 {
            guard let value = take(name)?.integer else { throw .shape("needs an integer in '\(name)'") }
            return value
        }

        private mutating func string(_ name: String) throws(Flaw) -> String {
            guard let value = take(name)?.string else { throw .shape("needs a string in '\(name)'") }
            return value
        }

        private mutating func optional(_ name: String) throws(Flaw) -> String? {
            guard let value = take(name) else { return nil }
            guard let string = value.string else { throw .shape("needs a string in '\(name)'") }
            return string
        }

        private mutating func nullable(_ name: String) throws(Flaw) -> String? {
            guard let value = take(name) else { throw .shape("needs a string or null in '\(name)'") }
            if value.isNull { return nil }
            guard let string = value.string else { throw .shape("needs a string or null in '\(name)'") }
            return string
        }

        private mutating func hash(_ name: String) throws(Flaw) -> String {
            let text = try string(name)
            guard AuditHead.isHash(text) else { throw .shape("needs 64 hexadecimal digits in '\(name)'") }
            return text
        }

        private mutating func trace() throws(Flaw) -> TraceContext? {
            let parent = try optional("parent_id")
            guard let id = try optional("trace_id") else {
                guard parent == nil else { throw .shape("has a 'parent_id' without a 'trace_id'") }
                return nil
            }
            guard let trace = TraceContext(traceID: id, parentID: parent) else {
                throw .shape("needs ids of a trace in 'trace_id' and 'parent_id'")
            }
            return trace
        }

        mutating func record() throws(Flaw) -> AuditRecord {
            guard let seq = UInt64(exactly: try integer("seq")), seq > 0 else { throw .shape("needs a 'seq' over 0") }
            guard let time = Timestamp(try string("ts")) else { throw .shape("needs a UTC time in 'ts'") }
            let agent = try optional("agent")
            guard agent != "" else { throw .shape("needs a name in 'agent'") }
            let name = try string("kind")
            guard let kind = AuditKind(rawValue: name) else { throw .shape("has an unknown 'kind'") }
            let event = AuditEvent(
                kind: kind, actor: try string("actor"), principal: try string("principal"),
                label: try optional("label"), requestID: try nullable("request_id"),
                trace: try trace(), environment: try nullable("environment"), planID: try optional("plan_id"),
                operationID: try optional("operation_id"), request: take("request"), decision: take("decision"),
                result: take("result"))
            let record = AuditRecord(
                event, seq: seq, time: time, agent: agent, prev: try hash("prev"), hash: try hash("hash"))
            guard rest.isEmpty else { throw .shape("has the unknown field '\(rest.keys[0])'") }
            return record
        }
    }
}

extension AuditEvent {
    /// Whether its values are flat enough for a line that can be read back.
    package var isRecordable: Bool {
        [request, decision, result].allSatisfy { value in
            value.map { !$0.isNested(deeperThan: AuditRecord.maximumDepth - 1) } ?? true
        }
    }
}
