// What the tree costs: each record that is made with it and without, in pairs, and a proof from a log of many records.
//
//   PROXMOX_AGENT_PACKAGE=benchmarks swift run -c release append [RECORDS]

import AgentAudit
import AgentModel
import AgentStorage
import FoundationEssentials
import Glibc
import StrictJSON
import TransparencyLog

/// A record as an apply writes it.
func event(_ number: Int) -> AuditEvent {
    AuditEvent(
        kind: .apply, actor: "pi-agent", principal: "pi-agent", requestID: "req_0123456789abcdefghij",
        environment: "home",
        planID: "pln_0123456789abcdefghij", operationID: "op_0123456789abcdefghij",
        request: ["action": "start_vm", "environment": "home", "target": "vm/\(number % 1000)", "params": [:]],
        decision: [
            "allowed": true, "reason": "start_vm is medium risk", "risk_level": "medium", "rules": ["risk:medium"],
        ],
        result: [
            "status": "succeeded", "message": "OK",
            "upid": "UPID:pve1:0002C1B4:0187B2D5:6B01A2F3:qmstart:101:agent@pve:",
        ])
}

func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

/// Microseconds for one record.
func round(_ count: Int, withTree: Bool) -> Double {
    var chain = AuditChain()
    var tree = CompactRange.empty
    let time = Timestamp(Date())
    let start = ContinuousClock.now
    for number in 0..<count {
        let line = chain.extend(with: event(number), at: time).line
        if withTree { tree.append(.leaf(line)) }
    }
    precondition(tree.size == (withTree ? UInt64(count) : 0))
    return (ContinuousClock.now - start) / .microseconds(1) / Double(count)
}

let pairs = (0..<25).map { number in
    let isFirst = number.isMultiple(of: 2)
    let one = round(10_000, withTree: isFirst)
    let other = round(10_000, withTree: !isFirst)
    return isFirst ? (with: one, without: other) : (with: other, without: one)
}
print("a record without the tree: \(median(pairs.map(\.without))) µs, with it: \(median(pairs.map(\.with))) µs")
print("the difference, median of \(pairs.count) pairs: \(median(pairs.map { $0.with - $0.without })) µs")

let records = CommandLine.arguments.dropFirst().first.flatMap { Int($0) } ?? 100_000
let path = "/tmp/append-benchmark-\(getpid()).log"
let file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0o600)
precondition(file >= 0, "\(path) cannot be made")
defer { unlink(path) }
var (chain, tree, bytes, size) = (AuditChain(), CompactRange.empty, [UInt8](), 0)
for number in 0..<records {
    let line = chain.extend(with: event(number), at: Timestamp(Date())).line
    tree.append(.leaf(line))
    bytes += line + [0x0A]
    if bytes.count > 1 << 20 || number == records - 1 {
        precondition(write(file, bytes, bytes.count) == bytes.count)
        size += bytes.count
        bytes.removeAll(keepingCapacity: true)
    }
}
let parts = TreeProof.inclusion(of: UInt64(records / 3), in: tree.size) ?? []
for _ in 0..<3 {
    let start = ContinuousClock.now
    let path = try AuditLogFiles.hashes(of: parts, in: tree.size, of: path)
    print("a proof of \(path.count) hashes from \(records) records, \(size >> 20) MiB: \(ContinuousClock.now - start)")
}
