import HTTPMessage

/// What callers use of a server: running exchanges, arriving bodies, and responses that are not sent yet. Each is
/// limited for one caller and in total.
final class Shares: Sendable {
    private struct Use: Equatable {
        var exchanges = [Int](repeating: 0, count: Admission.Lane.allCases.count)
        var bodyBytes = 0
        var answerBytes = 0
    }

    private struct State {
        var all = Use()
        /// Only parties that use something.
        var parties: [Admission.Party: Use] = [:]

        mutating func change(_ party: Admission.Party, _ body: (inout Use) -> Void) {
            body(&all)
            var use = parties[party] ?? Use()
            body(&use)
            parties[party] = use == Use() ? nil : use
        }
    }

    /// Responses up to this size are always sent. A party with too many of them pending gets no further request in.
    static let smallAnswerBytes = 256 << 10

    private let options: HTTPServer.Options
    private let state = Lock(State())

    init(_ options: HTTPServer.Options) { self.options = options }

    /// Takes a place for an exchange until ``leave(_:)``; returns why if there is none.
    func enter(_ admission: Admission) -> Refusal? {
        let lane = admission.lane
        return state.withLock { state in
            let own = state.parties[admission.party] ?? Use()
            if own.exchanges[lane.rawValue] >= options.exchangesOfParty(in: lane) { return .shareUsedUp }
            if state.all.exchanges[lane.rawValue] >= options.exchanges(in: lane) { return .overloaded }
            if lane == .ordinary {
                if own.answerBytes >= options.maxAnswerBytesOfParty { return .shareUsedUp }
                if state.all.answerBytes >= options.maxAnswerBytes { return .overloaded }
            }
            state.change(admission.party) { $0.exchanges[lane.rawValue] += 1 }
            return nil
        }
    }

    func leave(_ admission: Admission) {
        state.withLock { $0.change(admission.party) { $0.exchanges[admission.lane.rawValue] -= 1 } }
    }

    /// Bodies up to this size are always accepted, one for each connection: a freeze or a rejection is no larger.
    static let smallBodyBytes = 16 << 10

    /// Takes room for a piece of a body, which has `held` bytes already, until ``returnBody(_:of:)``. Returns why if
    /// there is none.
    func takeBody(_ count: Int, of party: Admission.Party, having held: Int) -> Refusal? {
        state.withLock { state in
            if held + count > Self.smallBodyBytes {
                let own = state.parties[party]?.bodyBytes ?? 0
                if own + count > options.maxBufferedBytesOfParty { return .shareUsedUp }
                if state.all.bodyBytes + count > options.maxBufferedBytes { return .overloaded }
            }
            state.change(party) { $0.bodyBytes += count }
            return nil
        }
    }

    func returnBody(_ count: Int, of party: Admission.Party) {
        guard count > 0 else { return }
        state.withLock { $0.change(party) { $0.bodyBytes -= count } }
    }

    /// Bytes of bodies that are held, for all parties together.
    var heldBodyBytes: Int { state.withLock { $0.all.bodyBytes } }

    /// Takes room for a response until ``returnAnswer(_:of:)``; returns why if there is none. One large response is
    /// accepted if no other is pending.
    func takeAnswer(_ count: Int, of party: Admission.Party) -> Refusal? {
        state.withLock { state in
            if count > Self.smallAnswerBytes {
                let own = state.parties[party]?.answerBytes ?? 0
                if own > 0 && own + count > options.maxAnswerBytesOfParty { return .shareUsedUp }
                let all = state.all.answerBytes
                if all > 0 && all + count > options.maxAnswerBytes { return .overloaded }
            }
            state.change(party) { $0.answerBytes += count }
            return nil
        }
    }

    func returnAnswer(_ count: Int, of party: Admission.Party) {
        guard count > 0 else { return }
        state.withLock { $0.change(party) { $0.answerBytes -= count } }
    }
}

extension HTTPServer.Options {
    fileprivate func exchanges(in lane: Admission.Lane) -> Int {
        switch lane {
        case .ordinary: maxExchanges
        case .stream: maxStreams
        case .urgent, .health: reservedExchanges
        }
    }

    fileprivate func exchangesOfParty(in lane: Admission.Lane) -> Int {
        switch lane {
        case .ordinary: maxExchangesOfParty
        case .stream: maxStreamsOfParty
        case .urgent, .health: max(1, reservedExchanges / 4)
        }
    }
}
