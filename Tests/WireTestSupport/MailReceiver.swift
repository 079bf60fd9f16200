import Dispatch
import HTTPMessage

/// A mail server (RFC 5321) on loopback that keeps what it takes. It knows no TLS.
package final class MailReceiver: Sendable {
    /// What it does that others do not.
    package enum Manner: Sendable, Hashable {
        case good
        /// Says nothing after its greeting.
        case hangs
        /// Answers the greeting without end.
        case floods
        /// Takes no recipient of this name.
        case refuses(String)
        /// Reads a message and answers this to it.
        case answersMessage(String)
    }

    package struct Mail: Sendable {
        package var from = ""
        package var recipients: [String] = []
        /// Its lines, as they came, without the last dot.
        package var lines: [String] = []
    }

    private struct State {
        var mails: [Mail] = []
        var sockets: [Socket] = []
        var isStopped = false
        var commands: [String] = []
    }

    package let port: UInt16
    private let listener: Socket
    private let manner: Manner
    private let state = Lock(State())

    package init(_ manner: Manner = .good) throws(WireError) {
        (listener, port) = try Socket.listening()
        self.manner = manner
        DispatchQueue(label: "mail receiver").async { [self] in acceptAll() }
    }

    package var mails: [Mail] { state.withLock { $0.mails } }
    /// What clients said, beside the mails themselves.
    package var commands: [String] { state.withLock { $0.commands } }

    /// Must be called: the accepting thread keeps it alive.
    package func stop() {
        let sockets = state.withLock { state in
            state.isStopped = true
            return state.sockets
        }
        for socket in sockets { socket.interrupt() }
        listener.interrupt()
    }

    private func acceptAll() {
        while listener.waitReadable(until: .now + .seconds(3600)), let socket = listener.accept() {
            let isStopped = state.withLock { state in
                if !state.isStopped { state.sockets.append(socket) }
                return state.isStopped
            }
            guard !isStopped else {
                socket.close()
                break
            }
            DispatchQueue(label: "mail connection").async { [self] in try? converse(Conversation(socket)) }
        }
        listener.close()
    }

    private func converse(_ conversation: Conversation) throws {
        try conversation.say("220 localhost")
        var mail = Mail()
        while let command = try conversation.line() {
            state.withLock { $0.commands.append(command) }
            if manner == .hangs { continue }
            switch command.prefix(4).uppercased() {
            case "EHLO":
                while manner == .floods { try conversation.say("250-" + String(repeating: "x", count: 400)) }
                try conversation.say("250-localhost\r\n250 AUTH PLAIN")
            case "AUTH":
                // Without an initial answer (RFC 4954, 4) the client waits to be asked for it.
                if command == "AUTH PLAIN" {
                    try conversation.say("334 ")
                    _ = try conversation.line()
                }
                try conversation.say("235 welcome")
            case "MAIL":
                mail = Mail(from: command)
                try conversation.say("250 go on")
            case "RCPT":
                if case .refuses(let name) = manner, command.contains(name) {
                    try conversation.say("550 there is no \(name)")
                } else {
                    mail.recipients.append(command)
                    try conversation.say("250 go on")
                }
            case "DATA":
                try conversation.say("354 go on")
                while let line = try conversation.line(), line != "." { mail.lines.append(line) }
                if case .answersMessage(let reply) = manner {
                    try conversation.say(reply)
                    continue
                }
                let taken = mail
                state.withLock { $0.mails.append(taken) }
                try conversation.say("250 taken")
            case "QUIT": return try conversation.say("221 bye")
            default: try conversation.say("502 what")
            }
        }
    }

    private final class Conversation {
        private let socket: Socket
        private var rest: [UInt8] = []
        private let deadline = ContinuousClock.now + .seconds(60)

        init(_ socket: Socket) { self.socket = socket }

        func say(_ text: String) throws { try socket.write(Array("\(text)\r\n".utf8), until: deadline) }

        /// The next line without its end; `nil` once the client has gone.
        func line() throws -> String? {
            while true {
                if let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                    let line = String(decoding: rest[..<end], as: UTF8.self)
                    rest.removeFirst(end + 1)
                    return line.last == "\r" ? String(line.dropLast()) : line
                }
                let more = try socket.read(until: deadline)
                if more.isEmpty { return nil }
                rest += more
            }
        }
    }
}
