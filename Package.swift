// swift-tools-version: 6.2
import PackageDescription

/// One set of language rules for every target of ours.
let strict: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

/// Every target that holds raw pointers; every unsafe expression in them is marked.
let wrapper: [SwiftSetting] = strict + [.strictMemorySafety()]

/// For targets that tests spend most of their processor time in: optimised in debug builds as well.
let optimised: [SwiftSetting] = [.unsafeFlags(["-O"], .when(configuration: .debug))]

/// How the program is linked for use. lld folds functions that are equal, exports nothing of what is linked in, and packs
/// the list of what to relocate at start: a hundredth of it is read, and start and resident memory are the smaller for it.
let lean: [LinkerSetting] = [
    .unsafeFlags(
        ["-use-ld=lld"]
            + [
                "--icf=safe", "--exclude-libs=ALL", "--no-export-dynamic", "-z", "pack-relative-relocs",
            ].flatMap { ["-Xlinker", $0] },
        .when(configuration: .release))
]

let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let httpTypes = Target.Dependency.product(name: "HTTPTypes", package: "swift-http-types")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let system = Target.Dependency.product(name: "SystemPackage", package: "swift-system")

/// The C libraries, what wraps them, and nothing of the agent: small enough to run under a sanitizer.
let wrappers: [Target] = [
    .systemLibrary(
        name: "CMicrohttpd", path: "Modules/CMicrohttpd", pkgConfig: "libmicrohttpd",
        providers: [.apt(["libmicrohttpd-dev"])]),
    // What libmicrohttpd speaks TLS with, and what its development package brings along.
    .systemLibrary(
        name: "CGnuTLS", path: "Modules/CGnuTLS", pkgConfig: "gnutls", providers: [.apt(["libgnutls28-dev"])]),
    .systemLibrary(
        name: "CCurl", path: "Modules/CCurl", pkgConfig: "libcurl",
        providers: [.apt(["libcurl4-openssl-dev", "libssl-dev"])]),
    .systemLibrary(
        name: "CSQLite", path: "Modules/CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
    .target(name: "SystemThread", swiftSettings: wrapper),
    .target(name: "HTTPMessage", dependencies: [httpTypes], swiftSettings: wrapper),
    .target(
        name: "MicroHTTPD", dependencies: ["CGnuTLS", "CMicrohttpd", "HTTPMessage", "SystemThread", httpTypes],
        swiftSettings: wrapper),
    .target(
        name: "CurlHTTP", dependencies: ["CCurl", "HTTPMessage", "SystemThread", httpTypes], swiftSettings: wrapper),
    .target(name: "SQLite", dependencies: ["CSQLite"], swiftSettings: wrapper),
    // Without pkgConfig, which would link libpq: it is loaded when a state needs it.
    .systemLibrary(name: "CPostgreSQL", path: "Modules/CPostgreSQL", providers: [.apt(["libpq-dev"])]),
    .target(name: "PostgreSQL", dependencies: ["CPostgreSQL"], swiftSettings: wrapper),
    .systemLibrary(name: "CZlib", path: "Modules/CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
    .target(name: "Gzip", dependencies: ["CZlib"], swiftSettings: wrapper),
    .target(
        name: "WireTestSupport", dependencies: ["HTTPMessage", "MicroHTTPD", httpTypes],
        path: "Tests/WireTestSupport", swiftSettings: strict),
    .target(
        name: "PostgreSQLTestSupport", dependencies: ["SystemThread"], path: "Tests/PostgreSQLTestSupport",
        swiftSettings: strict),
    .testTarget(
        name: "HTTPMessageTests", dependencies: ["HTTPMessage", httpTypes], swiftSettings: strict),
    .testTarget(
        name: "MicroHTTPDTests", dependencies: ["MicroHTTPD", "HTTPMessage", "WireTestSupport", httpTypes],
        swiftSettings: strict),
    .testTarget(
        name: "CurlHTTPTests",
        dependencies: ["CurlHTTP", "MicroHTTPD", "HTTPMessage", "WireTestSupport", httpTypes],
        swiftSettings: strict),
    .testTarget(name: "SQLiteTests", dependencies: ["SQLite"], swiftSettings: strict),
    .testTarget(
        name: "PostgreSQLTests", dependencies: ["PostgreSQL", "PostgreSQLTestSupport"], swiftSettings: strict),
    .testTarget(name: "GzipTests", dependencies: ["CZlib", "Gzip"], swiftSettings: wrapper),
]

let agent: [Target] = [
    .systemLibrary(name: "CProcess", path: "Modules/CProcess"),
    // Takes files/ in by #embed, which is C23.
    .target(name: "CConsole", exclude: ["files"], cSettings: [.unsafeFlags(["-std=gnu23"])]),
    .target(name: "ConsoleFiles", dependencies: ["CConsole"], swiftSettings: wrapper),
    .target(name: "StrictJSON", swiftSettings: wrapper + optimised),
    .target(name: "SystemFile", dependencies: [system], swiftSettings: wrapper),
    .target(name: "SystemService", swiftSettings: wrapper),
    .target(name: "Metrics", swiftSettings: wrapper),
    .target(name: "Signatures", dependencies: ["StrictJSON", crypto], swiftSettings: strict),
    .target(name: "AgentModel", dependencies: ["Signatures", "StrictJSON", crypto], swiftSettings: strict + optimised),
    .target(name: "TransparencyLog", dependencies: [crypto], swiftSettings: strict + optimised),
    .target(name: "AgentPolicy", dependencies: ["AgentModel", "Signatures"], swiftSettings: strict),
    .target(
        name: "AgentAudit", dependencies: ["AgentModel", "Signatures", "StrictJSON", "TransparencyLog", crypto],
        swiftSettings: strict),
    .target(
        name: "AgentService",
        dependencies: [
            "AgentModel", "AgentPolicy", "AgentAudit", "Signatures", "StrictJSON", "TransparencyLog", logging,
        ],
        swiftSettings: strict),
    .target(
        name: "PVEPlanning", dependencies: ["AgentService", "AgentModel", "StrictJSON"], swiftSettings: strict),
    .target(
        name: "AgentAPI",
        dependencies: [
            "AgentAudit", "AgentService", "AgentModel", "ConsoleFiles", "Gzip", "HTTPMessage", "Signatures",
            "StrictJSON", crypto, httpTypes, logging,
        ],
        swiftSettings: strict),
    .target(
        name: "Notifications",
        dependencies: ["AgentService", "AgentModel", "HTTPMessage", "StrictJSON", crypto, httpTypes],
        swiftSettings: strict),
    .target(
        name: "AgentMCP",
        dependencies: ["AgentAPI", "AgentService", "AgentModel", "HTTPMessage", "StrictJSON", httpTypes],
        swiftSettings: strict),
    .target(
        name: "ProxmoxVE", dependencies: ["AgentService", "AgentModel", "HTTPMessage", "StrictJSON", httpTypes],
        swiftSettings: strict),
    .target(
        name: "AgentStorage",
        dependencies: [
            "AgentAudit", "AgentService", "AgentModel", "PostgreSQL", "Signatures", "SQLite", "StrictJSON",
            "SystemFile", "SystemThread", "TransparencyLog", system,
        ],
        swiftSettings: strict),
    .target(
        name: "PVESimulator", dependencies: ["HTTPMessage", "MicroHTTPD", "StrictJSON", crypto, httpTypes],
        swiftSettings: strict + optimised),
    .executableTarget(
        name: "proxmox-agent",
        dependencies: [
            "AgentAPI", "AgentAudit", "AgentMCP", "AgentModel", "AgentPolicy", "AgentService", "AgentStorage",
            "CProcess", "CurlHTTP", "HTTPMessage", "Metrics", "MicroHTTPD", "Notifications", "PVEPlanning",
            "PVESimulator", "ProxmoxVE", "Signatures", "StrictJSON", "SystemFile", "SystemService", "SystemThread",
            "TransparencyLog",
            crypto, httpTypes,
            logging,
            system,
            .product(name: "ArgumentParser", package: "swift-argument-parser"),
            .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            .product(name: "UnixSignals", package: "swift-service-lifecycle"),
        ],
        swiftSettings: strict, linkerSettings: lean),
    .target(
        name: "AgentTestSupport",
        dependencies: [
            "AgentService", "AgentModel", "AgentAudit", "AgentPolicy", "PVEPlanning", "Signatures", "StrictJSON",
            "TransparencyLog", crypto,
        ],
        path: "Tests/AgentTestSupport", swiftSettings: strict),
    .testTarget(
        name: "StrictJSONTests", dependencies: ["StrictJSON", "AgentTestSupport"], swiftSettings: strict),
    .testTarget(name: "SystemFileTests", dependencies: ["SystemFile", system], swiftSettings: strict),
    .testTarget(
        name: "SystemServiceTests", dependencies: ["SystemService", "WireTestSupport"], swiftSettings: strict),
    .testTarget(
        name: "MetricsTests", dependencies: ["Metrics", "AgentTestSupport"], exclude: ["Golden"],
        swiftSettings: strict),
    .testTarget(
        name: "SignaturesTests",
        dependencies: ["Signatures", "AgentTestSupport", "StrictJSON", "WireTestSupport"],
        swiftSettings: strict),
    .testTarget(
        name: "AgentModelTests", dependencies: ["AgentModel", "AgentTestSupport", "StrictJSON"],
        exclude: ["Golden"], swiftSettings: strict),
    .testTarget(name: "TransparencyLogTests", dependencies: ["TransparencyLog", crypto], swiftSettings: strict),
    .testTarget(
        name: "AgentPolicyTests",
        dependencies: ["AgentPolicy", "AgentModel", "AgentTestSupport", "Signatures", "StrictJSON"],
        exclude: ["Golden"], swiftSettings: strict),
    .testTarget(
        name: "AgentServiceTests",
        dependencies: [
            "AgentService", "AgentAudit", "AgentModel", "AgentTestSupport", "Signatures", "StrictJSON",
            "TransparencyLog", logging,
        ],
        exclude: ["Golden"], swiftSettings: strict),
    .testTarget(
        name: "PVEPlanningTests",
        dependencies: ["PVEPlanning", "AgentModel", "AgentService", "AgentTestSupport", "StrictJSON"],
        swiftSettings: strict),
    .testTarget(
        name: "AgentAPITests",
        dependencies: [
            "AgentAPI", "AgentAudit", "AgentModel", "AgentPolicy", "AgentService", "AgentTestSupport", "ConsoleFiles",
            "HTTPMessage", "Signatures", "StrictJSON", crypto, httpTypes, logging,
        ],
        exclude: ["Golden"], swiftSettings: strict),
    .testTarget(
        name: "AgentMCPTests",
        dependencies: [
            "AgentMCP", "AgentAPI", "AgentAudit", "AgentModel", "AgentPolicy", "AgentService", "AgentTestSupport",
            "HTTPMessage", "StrictJSON", httpTypes, logging,
        ],
        swiftSettings: strict),
    .testTarget(
        name: "NotificationsTests",
        dependencies: [
            "Notifications", "AgentModel", "AgentService", "AgentTestSupport", "CurlHTTP", "HTTPMessage", "StrictJSON",
            "WireTestSupport", crypto, httpTypes,
        ],
        exclude: ["Golden"], swiftSettings: strict),
    .testTarget(
        name: "AgentStorageTests",
        dependencies: [
            "AgentStorage", "AgentAudit", "AgentModel", "AgentService", "AgentTestSupport", "PostgreSQL",
            "PostgreSQLTestSupport", "Signatures", "SQLite", "StrictJSON", "TransparencyLog",
        ],
        exclude: ["Golden"], swiftSettings: strict),
    // A test target, because it sees the simulator's inside, which only tests are built for.
    .testTarget(
        name: "SimulatorTestSupport", dependencies: ["PVESimulator", "HTTPMessage", httpTypes],
        path: "Tests/SimulatorTestSupport", swiftSettings: strict),
    .testTarget(
        name: "PVESimulatorTests",
        dependencies: [
            "PVESimulator", "SimulatorTestSupport", "AgentModel", "HTTPMessage", "StrictJSON", "AgentTestSupport",
            "WireTestSupport", httpTypes,
        ],
        exclude: ["Golden"], swiftSettings: strict),
    .testTarget(
        name: "ProxmoxVETests",
        dependencies: [
            "ProxmoxVE", "PVESimulator", "SimulatorTestSupport", "CurlHTTP", "AgentModel", "AgentService",
            "HTTPMessage", "StrictJSON", "WireTestSupport", httpTypes,
        ],
        swiftSettings: strict),
    .testTarget(
        name: "ProgramTests",
        dependencies: [
            "proxmox-agent", "AgentAPI", "AgentAudit", "AgentModel", "AgentPolicy", "AgentService", "AgentStorage",
            "AgentTestSupport", "HTTPMessage", "Signatures", "StrictJSON", logging,
            .product(name: "ArgumentParser", package: "swift-argument-parser"),
        ],
        exclude: ["Golden"], swiftSettings: strict),
    .testTarget(
        name: "EndToEndTests",
        dependencies: [
            "proxmox-agent", "AgentAPI", "AgentAudit", "AgentModel", "AgentPolicy", "AgentService", "AgentStorage",
            "AgentTestSupport", "CurlHTTP", "HTTPMessage", "Metrics", "MicroHTTPD", "Notifications", "PVEPlanning",
            "PVESimulator", "PostgreSQLTestSupport", "ProxmoxVE", "Signatures", "SimulatorTestSupport", "StrictJSON",
            "TransparencyLog", "WireTestSupport",
            httpTypes, logging,
        ],
        exclude: ["Golden"], swiftSettings: strict),
]

let benchmarks: [Target] = [
    .executableTarget(
        name: "append",
        dependencies: ["AgentAudit", "AgentModel", "AgentStorage", "StrictJSON", "TransparencyLog"],
        path: "benchmarks/append", swiftSettings: strict),
    .executableTarget(
        name: "policy", dependencies: ["AgentModel", "AgentPolicy", "StrictJSON"], path: "benchmarks/policy",
        swiftSettings: strict),
]

/// Which part of it: `wrappers` alone, everything with the `benchmarks`, or the agent.
let part = Context.environment["PROXMOX_AGENT_PACKAGE"]
let onlyWrappers = part == "wrappers"

let package = Package(
    name: "proxmox-agent",
    dependencies: onlyWrappers
        ? [.package(url: "https://github.com/apple/swift-http-types", from: "1.8.0")]
        : [
            .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
            .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
            .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
            .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
            .package(url: "https://github.com/apple/swift-system", from: "1.8.1"),
            .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        ],
    targets: onlyWrappers ? wrappers : wrappers + agent + (part == "benchmarks" ? benchmarks : [])
)
