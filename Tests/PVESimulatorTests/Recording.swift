import AgentTestSupport
import PVESimulator
import SimulatorTestSupport
import StrictJSON

/// A file of recorded exchanges: where it is, what its scene was, and the golden files that were made of it.
///
/// To add one: a case here, a scene that `prepare` sets, and `PROXMOX_AGENT_GOLDEN=write`, which makes the table of
/// facts and, once, the list of those that the simulator does not cover.
enum Recording: CaseIterable, Sendable {
    case first, second, cluster

    /// The file's name, beside the others in `../shared/pve-recordings`.
    var file: String {
        switch self {
        case .first: "pve-9.2-exchanges.jsonl"
        case .second: "pve-9.2-exchanges-2.jsonl"
        case .cluster: "pve-9.2-cluster-exchanges.jsonl"
        }
    }

    /// The caller that sets the scene, and the one who asks for tasks.
    var auth: String {
        switch self {
        case .first: "token:root@pam!t1"
        case .second, .cluster: "token:agent@pve!home"
        }
    }

    /// When it began, in seconds since 1970.
    var start: Int {
        switch self {
        case .first: 1_795_381_700
        case .second: 1_795_864_109
        case .cluster: 1_795_865_510
        }
    }

    private var suffix: String {
        switch self {
        case .first: ""
        case .second: "-2"
        case .cluster: "-cluster"
        }
    }

    /// Sets the scene for the case `name`.
    func prepare(_ name: String, _ replay: FactReplay) async {
        switch self {
        case .first: await FirstScene.prepare(name, replay)
        case .second: await SecondScene.prepare(name, replay)
        case .cluster: await ThirdScene.prepare(name, replay)
        }
    }

    var table: GoldenFile { GoldenFile("pve-facts\(suffix).jsonl") }
    /// Names of the facts that the simulator does not cover yet; the list only shrinks.
    var uncovered: GoldenFile { GoldenFile("pve-uncovered\(suffix).txt") }

    func facts() throws -> [RecordedExchange] {
        try table.lines().compactMap { RecordedExchange(try JSON.parse($0)) }
    }

    func derived() throws -> [RecordedExchange] {
        let lines = try Reference.text(of: Reference.recordings(file)).split(separator: "\n")
        return FactDerivation.facts(in: try lines.map { try JSON.parse(String($0)) })
    }
}

extension Simulator {
    /// A node whose one storage is a directory that takes everything, with nothing in it.
    func keepLocalStorageOnly() {
        setStorage("local-lvm", type: nil)
        setStorage("ceph", type: nil)
        let content = "backup,images,import,iso,rootdir,snippets,vztmpl"
        setStorage("local", type: "dir", options: ["path": "/var/lib/vz", "content": content])
        removeVolumes()
    }
}
