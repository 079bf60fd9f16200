/// A tree's size and the hash at its root.
package struct TreeHead: Sendable, Hashable {
    package let size: UInt64
    package let root: TreeHash

    package init(size: UInt64, root: TreeHash) {
        self.size = size
        self.root = root
    }
}

/// A complete subtree: the leaves from `index << level` up to `(index + 1) << level`.
package struct TreeNode: Sendable, Hashable {
    package let level: Int
    package let index: UInt64

    package init(level: Int, index: UInt64) {
        self.level = level
        self.index = index
    }
}

/// What must be kept of a tree to append to it: the hashes of its largest complete subtrees, 63 at most.
package struct CompactRange: Sendable, Hashable {
    /// The number of leaves.
    package private(set) var size: UInt64
    /// From left to right, so from the largest subtree to the smallest.
    package private(set) var hashes: [TreeHash]

    package static let empty = CompactRange()

    private init() { (size, hashes) = (0, []) }

    /// `nil` unless there are as many hashes as a tree of that size has complete subtrees.
    package init?(size: UInt64, hashes: [TreeHash]) {
        guard size <= UInt64(Int64.max), hashes.count == size.nonzeroBitCount else { return nil }
        self.size = size
        self.hashes = hashes
    }

    /// Adds a leaf by its hash.
    package mutating func append(_ leaf: TreeHash) { append(leaf) { _, _ in } }

    /// Adds a leaf by its hash; calls `completed` with each subtree that it completes, the leaf itself first.
    package mutating func append(_ leaf: TreeHash, _ completed: (TreeNode, TreeHash) -> Void) {
        var hash = leaf
        var level = 0
        completed(TreeNode(level: 0, index: size), hash)
        while size >> level & 1 == 1, let left = hashes.popLast() {
            hash = .node(left, hash)
            level += 1
            completed(TreeNode(level: level, index: size >> level), hash)
        }
        hashes.append(hash)
        size += 1
    }

    /// The hash of the whole tree.
    package var root: TreeHash {
        guard let last = hashes.last else { return .empty }
        return hashes.dropLast().reversed().reduce(last) { right, left in .node(left, right) }
    }

    package var head: TreeHead { TreeHead(size: size, root: root) }

    /// Its complete subtrees, from left to right.
    var nodes: [(node: TreeNode, hash: TreeHash)] {
        var at: UInt64 = 0
        return hashes.indices.map { number in
            let rest = size - at
            let level = UInt64.bitWidth - 1 - rest.leadingZeroBitCount
            defer { at += 1 << level }
            return (TreeNode(level: level, index: at >> level), hashes[number])
        }
    }
}

extension CompactRange {
    /// The hashes one after the other, as they are stored.
    package var bytes: [UInt8] { hashes.flatMap(\.bytes) }

    /// Reads what ``bytes`` wrote; `nil` if that is no range of this size.
    package init?(size: UInt64, bytes: [UInt8]) {
        guard bytes.count.isMultiple(of: TreeHash.length) else { return nil }
        let hashes = stride(from: 0, to: bytes.count, by: TreeHash.length).compactMap {
            TreeHash(bytes[$0..<($0 + TreeHash.length)])
        }
        self.init(size: size, hashes: hashes)
    }
}
