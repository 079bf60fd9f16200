internal import AgentAudit
internal import SystemFile
internal import SystemPackage

extension AuditLogFile {
    /// The end of the file: its last whole record, and where that ends. What follows is torn.
    struct Tail {
        var record: AuditRecord?
        var end: Int64
    }

    /// Reads and verifies the last record.
    ///
    /// A last line without a newline, or one that is no JSON, is from a crash; then the record before it counts. Throws
    /// with the number of the line if that record is not valid.
    func tail() throws(AuditError) -> Tail {
        guard let newline = try lastNewline(before: length) else { return try whole(end: 0) }
        let end = newline + 1
        guard end == length else { return try whole(end: end) }
        do throws(Unreadable) {
            let (record, _) = try record(endingAt: end)
            return Tail(record: record, end: end)
        } catch {
            switch error {
            case .flaw(.malformed, let start): return try whole(end: start)
            case .flaw(let flaw, let start): throw try unusable(flaw, at: start)
            case .file(let error): throw error
            }
        }
    }

    private enum Unreadable: Error {
        case flaw(AuditRecord.Flaw, start: Int64)
        case file(AuditError)
    }

    /// The tail of a file whose bytes from `end` on are torn.
    private func whole(end: Int64) throws(AuditError) -> Tail {
        guard end > 0 else {
            try checkOwnBeginning()
            return Tail(record: nil, end: 0)
        }
        do throws(Unreadable) {
            return Tail(record: try record(endingAt: end).record, end: end)
        } catch {
            switch error {
            case .flaw(let flaw, let start): throw try unusable(flaw, at: start)
            case .file(let error): throw error
            }
        }
    }

    /// Detects another file, named by mistake, before it is taken for a torn log.
    private func checkOwnBeginning() throws(AuditError) {
        let beginning = try read(0..<min(length, 5))
        guard Array(#"{"v":"#.utf8).starts(with: beginning) || beginning.allSatisfy({ $0 == 0 }) else {
            throw AuditError("audit log \(path): line 1 is not a record: this is no audit log; name another file")
        }
    }

    private func unusable(_ flaw: AuditRecord.Flaw, at start: Int64) throws(AuditError) -> AuditError {
        let reason =
            switch flaw {
            case .malformed(let reason), .shape(let reason): reason
            case .hash: "was edited: its content does not fit its hash"
            }
        return AuditError(
            "audit log \(path): line \(try lines(before: start) + 1) \(reason); "
                + "keep the file as evidence, move it aside, and start again")
    }

    private func record(endingAt end: Int64) throws(Unreadable) -> (record: AuditRecord, start: Int64) {
        let start: Int64
        let line: [UInt8]
        do throws(AuditError) {
            start = try lastNewline(before: end - 1).map { $0 + 1 } ?? 0
            line = try read(start..<(end - 1))
        } catch {
            throw .file(error)
        }
        do throws(AuditRecord.Flaw) {
            return (try AuditRecord(line: line), start)
        } catch {
            throw .flaw(error, start: start)
        }
    }

    /// Moves the bytes from `end` on to a separate file and returns its path.
    mutating func setAsideTorn(from end: Int64, seq: UInt64) throws(AuditError) -> String {
        let torn = try read(end..<length)
        let cure = "make room for the torn line"
        var name = "\(path).torn-\(seq)"
        var copies = 1
        while true {
            do throws(PrivateFile.CreateFailure) {
                try PrivateFile.create(name, torn)
                break
            } catch {
                switch error {
                case .create(.fileExists) where copies < 100:
                    copies += 1
                    name = "\(path).torn-\(seq)-\(copies)"
                case .create(let error): throw .system("cannot create \(name)", path, error, cure: cure)
                case .write(let error): throw .system("cannot write \(name)", path, error, cure: cure)
                }
            }
        }
        try truncate(to: end)
        return name
    }

    // MARK: Reading

    private static var block: Int64 { 64 << 10 }

    private func lastNewline(before end: Int64) throws(AuditError) -> Int64? {
        var upper = end
        while upper > 0 {
            guard end - upper <= Int64(AuditRecord.maximumLineLength) else {
                throw AuditError("audit log \(path): has a line too long for a record; name another file")
            }
            let lower = max(0, upper - Self.block)
            if let index = try read(lower..<upper).lastIndex(of: UInt8(ascii: "\n")) { return lower + Int64(index) }
            upper = lower
        }
        return nil
    }

    private func lines(before end: Int64) throws(AuditError) -> Int {
        var count = 0
        var lower: Int64 = 0
        while lower < end {
            let upper = min(end, lower + Self.block)
            for byte in try read(lower..<upper) where byte == UInt8(ascii: "\n") { count += 1 }
            lower = upper
        }
        return count
    }
}
