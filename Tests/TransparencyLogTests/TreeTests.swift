import Crypto
import Testing

@testable import TransparencyLog

/// The expected values are those of RFC 6962's own algorithms, computed by a program in Python.
struct TreeTests {
    /// The leaves of certificate transparency's own test vectors.
    private static let leaves: [[UInt8]] = [
        [], [0x00], [0x10], [0x20, 0x21], [0x30, 0x31], [0x40, 0x41, 0x42, 0x43], Array(0x50...0x57),
        Array(0x60...0x6F),
    ]
    /// The roots of the first 0, 1, … of them.
    private static let roots = [
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ]

    private static func hex(_ bytes: some Sequence<UInt8>) -> String {
        bytes.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
    }

    private static func tree(_ size: UInt64) -> CompactRange {
        (0..<size).reduce(into: .empty) { $0.append(.leaf(Array("\($1)".utf8))) }
    }

    /// The hashes of parts of the tree of so many decimal numbers.
    private static func hashes(
        _ parts: [Range<UInt64>], in size: UInt64, from known: CompactRange = .empty
    ) throws -> [TreeHash] {
        var walk = TreeWalk(parts, from: known)
        for number in known.size..<size { walk.append(.leaf(Array("\(number)".utf8))) }
        return try #require(walk.hashes)
    }

    @Test func `a tree's root is that of the RFC at every size`() {
        var tree = CompactRange.empty
        var found = [Self.hex(tree.root.bytes)]
        for leaf in Self.leaves {
            tree.append(.leaf(leaf))
            found.append(Self.hex(tree.root.bytes))
        }
        #expect(found == Self.roots)
    }

    @Test func `every inclusion proof of every tree up to 40 is that of the RFC, and holds`() throws {
        var all = SHA256()
        for size in UInt64(1)...40 {
            let head = Self.tree(size).head
            for index in 0..<size {
                let path = try Self.hashes(try #require(TreeProof.inclusion(of: index, in: size)), in: size)
                for hash in path { all.update(data: hash.bytes) }
                let leaf = TreeHash.leaf(Array("\(index)".utf8))
                #expect(TreeProof.holds(leaf, at: index, path, in: head))
                #expect(!TreeProof.holds(.empty, at: index, path, in: head))
                #expect(!TreeProof.holds(leaf, at: index, path + [.empty], in: head))
                #expect(size == 1 || !TreeProof.holds(leaf, at: index, Array(path.dropLast()), in: head))
                #expect(size == 1 || !TreeProof.holds(leaf, at: (index + 1) % size, path, in: head))
            }
        }
        #expect(Self.hex(all.finalize()) == "31b038d2dc3e0d2cf32321a12e0d23220ed148cea2756ea4a1cbe9a7d03eaeb6")
    }

    @Test func `every consistency proof of every tree up to 40 is that of the RFC, and holds`() throws {
        var all = SHA256()
        for size in UInt64(1)...40 {
            let new = Self.tree(size).head
            for count in 1...size {
                let old = Self.tree(count).head
                let path = try Self.hashes(try #require(TreeProof.consistency(from: count, to: size)), in: size)
                for hash in path { all.update(data: hash.bytes) }
                #expect(TreeProof.holds(from: old, to: new, path))
                let other = TreeHead(size: count, root: .leaf([]))
                #expect(!TreeProof.holds(from: other, to: new, path))
                #expect(!TreeProof.holds(from: old, to: TreeHead(size: size, root: .leaf([])), path))
                for number in path.indices {
                    var wrong = path
                    wrong[number] = .leaf([])
                    #expect(!TreeProof.holds(from: old, to: new, wrong))
                }
            }
        }
        #expect(Self.hex(all.finalize()) == "ec0a5f464d90505ce82583f31d98955626299d0a7a1f7ea7f7bf15182040500d")
    }

    @Test func `what a range knows is enough for all proofs about what comes after it`() throws {
        let size: UInt64 = 37
        for start in UInt64(0)...size {
            let known = Self.tree(start)
            for index in start..<size {
                let parts = try #require(TreeProof.inclusion(of: index, in: size))
                #expect(try Self.hashes(parts, in: size, from: known) == Self.hashes(parts, in: size))
            }
            for old in start...size {
                let parts = try #require(TreeProof.consistency(from: old, to: size))
                #expect(try Self.hashes(parts, in: size, from: known) == Self.hashes(parts, in: size))
            }
        }
    }

    @Test func `parts that the leaves have not reached, or that a range hides, have no hash`() throws {
        var walk = TreeWalk([0..<4])
        walk.append(.leaf([1]))
        #expect(walk.hashes == nil)
        let parts = try #require(TreeProof.inclusion(of: 0, in: 8))
        #expect(TreeWalk(parts, from: Self.tree(8)).hashes == nil)
    }

    @Test func `there are no proofs of what is not there`() {
        #expect(TreeProof.inclusion(of: 0, in: 0) == nil)
        #expect(TreeProof.inclusion(of: 5, in: 5) == nil)
        #expect(TreeProof.inclusion(of: .max - 1, in: .max) == nil)
        #expect(TreeProof.consistency(from: 6, to: 5) == nil)
        #expect(TreeProof.consistency(from: 1, to: .max) == nil)
        #expect(TreeProof.inclusion(of: 0, in: UInt64(Int64.max))?.count == 63)
        let (none, one) = (TreeHead(size: 0, root: .empty), Self.tree(1).head)
        #expect(TreeProof.holds(from: none, to: one, []))
        #expect(!TreeProof.holds(from: none, to: one, [.empty]))
        #expect(!TreeProof.holds(from: TreeHead(size: 0, root: one.root), to: one, []))
        #expect(!TreeProof.holds(from: TreeHead(size: 1, root: .empty), to: one, []))
    }

    @Test func `a range is kept as bytes`() throws {
        for size in [0, 1, 2, 3, 64, 1023] as [UInt64] {
            let tree = Self.tree(size)
            #expect(CompactRange(size: size, bytes: tree.bytes) == tree)
            #expect(CompactRange(size: size + 2, bytes: tree.bytes)?.size != size)
            #expect(CompactRange(size: size, bytes: tree.bytes + [0]) == nil)
        }
        #expect(CompactRange(size: .max, hashes: Array(repeating: .empty, count: 64)) == nil)
    }
}
