import Glibc
import HTTPMessage
import Synchronization
import Testing
import WireTestSupport

@testable import MicroHTTPD

extension Serving {
    @Suite struct AcceptorTests {
        @Test func `what cannot be served makes nobody wait for its place`() async throws {
            let socket = try ListenSocket(.tcp(host: "127.0.0.1", port: 0))
            let address = socket.address
            let connections = ConnectionRegistry(HTTPServer.Options())
            let refused = Atomic(0)
            let acceptor = try Acceptor(socket, connections) { descriptor, _, _ in
                // As libmicrohttpd does where it has no memory for one more.
                _ = close(descriptor)
                refused.add(1, ordering: .relaxed)
                return false
            }
            for _ in 0..<20 {
                let client = try RawClient(address)
                #expect(try await client.end() == .closed([]))
            }
            acceptor.stop()
            #expect(refused.load(ordering: .relaxed) == 20 && connections.arriving == 0)
        }

        @Test func `one that was given up on the way is forgotten when its number comes again`() {
            let connections = ConnectionRegistry(HTTPServer.Options())
            connections.announce(7)
            connections.announce(7)
            #expect(connections.arriving == 1)
            let connection = Connection(descriptor: 7, peer: "127.0.0.1:1")
            connections.add(connection)
            #expect(connections.arriving == 0)
            connections.remove(connection)
        }
    }
}
