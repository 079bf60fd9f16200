import AgentModel
import AgentService
import StrictJSON

/// Collects all that a preview needs: the present state of everything in reach, checks on the request, and its changes.
///
/// A builder serves one preview, and reads nothing twice.
final class PreviewBuilder {
    let planner: PVEPlanner
    let request: ActionRequest
    var findings = Findings()
    /// The calls that would carry out the request.
    var calls: [Call] = []
    /// The index of each subject in the list.
    var subjectPlaces: [String: Int] = [:]
    /// What the undo does not restore.
    var gaps: [UndoGap] = []
    /// Why there is no undo, where PVE is the reason.
    var noUndo: UndoGap?
    /// Whether the undo fails to restore what the request is about.
    var losesThePoint = false
    /// Guests that rules name by number.
    var watched: Set<VMID> = []
    private var lastRead = ""
    /// The node that did not answer the latest read.
    private(set) var silentNode: String?
    private var answers: [String: Result<JSON, HypervisorError>] = [:]

    /// What planning needs to know about a request's target.
    struct Findings: Sendable {
        var node: NodeName?
        var observed = Observed()
        /// The guest's configuration in PVE's form; `nil` where there is no guest to read.
        var config: JSON?
        var checks: [Check] = []
        /// The present state of the object that an edit names.
        var object: JSON?
        /// The guests that a request for many means.
        var guests: [GuestRef] = []
        /// Guests that a request for many names but that it leaves out, because they already are in the wanted state.
        var leftOut: Set<UInt32> = []
        /// Whether PVE has actions of its own on many guests.
        var hasBulkActions = true
        /// How the cluster writes tags.
        var tagStyle = TagStyle()
        /// The subjects that policy judges.
        var reach = Reach()
        /// The observed state of guests other than the target.
        var guestStates: [String: JSON] = [:]

        /// Whether everything that planning needs was found.
        var isThere: Bool { checks.allSatisfy { $0.level != .block } }
        var callContext: CallContext {
            CallContext(
                node: node, config: config, guests: guests, hasBulkActions: hasBulkActions, tagStyle: tagStyle)
        }
    }

    init(_ request: ActionRequest, at planner: PVEPlanner) {
        self.request = request
        self.planner = planner
    }

    var guest: GuestRef? { request.target.guest }
    var config: JSON { findings.config ?? .null }
    var status: String { findings.observed.shown["status"]?.string ?? "" }
    var node: NodeName? { findings.node }
    var machine: MachineState { MachineState(status) }
    var isTemplate: Bool { flag(config, "template", of: guest?.description ?? "the guest") }
    var isManaged: Bool {
        flag(findings.observed.shown["ha"], "managed", of: "HA of \(guest?.description ?? "the guest")")
    }
    /// Whether the target guest exists.
    var isThere: Bool { findings.config != nil }

    /// A parameter's text; empty where it is not given.
    func text(_ parameter: String) -> String {
        request.params[parameter].map { $0.string ?? $0.text } ?? ""
    }

    /// PVE's answer to a read; each read is made once.
    func read(_ path: [String], _ query: [String: String] = [:]) async throws(HypervisorError) -> JSON {
        let call = Call(.get, path, query.sorted { $0.key < $1.key }.map { ($0.key, .text($0.value)) })
        let name = call.shownPath + JSON.object(call.shownParameters).text
        lastRead = call.shownPath
        if let known = answers[name] { return try known.get() }
        do throws(HypervisorError) {
            let answer = try await planner.hypervisor.read(call)
            answers[name] = .success(answer)
            return answer
        } catch {
            if error.isSilence, path.first == "nodes", path.count > 1 { silentNode = path[1] }
            answers[name] = .failure(error)
            throw error
        }
    }

    /// Reads a path below the guest's own.
    func readGuest(_ rest: String..., query: [String: String] = [:]) async throws(HypervisorError) -> JSON {
        guard let guest, let node else { return .null }
        return try await read(["nodes", node.description, guest.kind.rawValue, guest.id.description] + rest, query)
    }

    /// Runs all checks of the action's definition, and those that apply to every request.
    func checks() async throws(HypervisorError) -> [Check] {
        var checks = canBeAsked()
        try await attempt { () throws(HypervisorError) in checks += try await quorum() }
        for kind in request.definition.checks {
            try await attempt { () throws(HypervisorError) in checks += try await check(kind) }
        }
        if let guest, isManaged, request.target == .guest(guest) {
            checks.append(Check("ha-managed", .warn, "\(guest) is managed by HA, which may act on its own"))
        }
        try await attempt { () throws(HypervisorError) in checks += try await safety() }
        try await attempt { () throws(HypervisorError) in checks += try await lossChecks() }
        checks += identityChecks()
        try await attempt { () throws(HypervisorError) in checks += try await privileges() }
        return checks
    }

    /// Runs reads. It is a block where PVE refuses to show something, or does not answer this one read.
    func attempt(_ look: () async throws(HypervisorError) -> Void) async throws(HypervisorError) {
        do throws(HypervisorError) { try await look() } catch {
            switch error {
            case .refused(let upstream) where upstream.status != 401: break
            case .timeout: break
            case .refused, .unreachable, .withheld, .invalid: throw error
            }
            if let node = silentNode, let check = await silenceCheck(of: node, error) {
                if !findings.checks.contains(check) { findings.checks.append(check) }
                return
            }
            let why = ServiceError(error, planner.settings.name, during: "GET \(lastRead)").detail
            block(
                "what the request reaches cannot be looked at: \(why); plan again when PVE shows it", as: "unreadable")
        }
    }

    private func check(_ kind: CheckKind) async throws(HypervisorError) -> [Check] {
        switch kind {
        case .unlocked(let except): unlocked(except)
        case .notTemplate: notTemplate()
        case .unprotected: unprotected()
        case .stopped: stopped()
        case .running: running()
        case .notPaused: notPaused()
        case .notRunningYet: notRunningYet()
        case .notStoppedYet: notStoppedYet()
        case .paused: paused()
        case .managedByHA: managedByHA()
        case .agentEnabled: agentEnabled()
        case .notLinked: try await notLinked()
        case .replaceable: replaceable()
        case .snapshotExists(let name): try await snapshotExists(text(name))
        case .snapshotIsNew(let name): try await snapshotIsNew(text(name))
        case .snapshotsPossible: try await snapshotsPossible()
        case .noSnapshots: try await noSnapshots()
        case .diskExists(let name): diskExists(text(name))
        case .slotIsFree(let name): slotIsFree(text(name))
        case .notRoot(let name): notRoot(text(name))
        case .diskGrows: diskGrows()
        case .keysExist(let name): keysExist(name)
        case .keysPending(let name): try await keysPending(name)
        case .diskStorages: try await diskStorages()
        case .hotplug: hotplug()
        case .idIsFree(let name): try await idIsFree(name.map(text) ?? guest?.id.description ?? "")
        case .otherNode(let name): try await otherNode(text(name))
        case .nodeOnline(let name): try await nodeOnline(name.map(text))
        case .linkedClone: linkedClone()
        case .outOfHA: outOfHA()
        case .poolExists: try await poolExists()
        case .volumeIsThere(let name): try await volumeIsThere(text(name))
        case .emptied: emptied()
        case .backupRoom: try await backupRoom()
        case .dispensable: dispensable()
        case .nodeOffline: try await nodeOffline()
        case .quorateWithout: try await quorateWithout()
        case .guestsOnNode: try await guestsOnNode()
        case .migration: try await migration()
        case .guestsFit: try await guestsFit()
        case .guestsMove: try await guestsMove()
        case .replicable: try await replicable()
        case .ruleAllows(let name): try await ruleAllows(text(name))
        case .ruleFits: try await ruleFits()
        case .storageActive(let name, let content): try await storageActive(name, content)
        case .storageUnused: try await storageUnused() + storageSeen()
        case .volumeExists(let name, let isBackup): volumeExists(text(name), isBackup)
        case .volumeUnprotected(let name): volumeUnprotected(text(name))
        case .volumeUnused(let name): try await volumeUnused(text(name))
        case .volumeIsNew: volumeIsNew()
        case .archive(let name): try await archive(text(name))
        case .objectFits: objectFits()
        case .members: try await members()
        case .unreferenced(let references): try await unreferenced(references)
        case .present(let name, let path): try await present(name, at: path)
        case .carriesAlong(let lists): try await carriesAlong(lists)
        case .commandAllowed: commandAllowed()
        case .downloadAllowed: downloadAllowed()
        }
    }
}
