import StrictJSON

/// The cluster's software-defined network. A change takes effect when it is applied, together with all other pending
/// changes.
extension ActionCatalog {
    static let sdn: [ActionDefinition] = [editZone, editNetwork]

    private static let set = Condition.when("op", "add", "change")
    /// What PVE keeps pending until the configuration is applied.
    private static let pending: [PendingList] = [
        PendingList("/cluster/sdn/zones", name: "zone"),
        PendingList("/cluster/sdn/vnets", name: "vnet", part: "subnets", partName: "subnet"),
        PendingList("/cluster/sdn/controllers", name: "controller"),
        PendingList("/cluster/sdn/fabrics/fabric", name: "id"),
        PendingList("/cluster/sdn/fabrics/node", name: "node_id"),
    ]
    private static let fabricID = TextForm.shape("[A-Za-z0-9][A-Za-z0-9-]{0,6}[A-Za-z0-9]?", samples: ["f1", "lan-2"])
    private static let address = TextForm.shape("[0-9A-Fa-f.:]{2,39}", samples: ["192.0.2.1", "2001:db8::1"])
    private static let sdnID = TextForm.shape("[A-Za-z][A-Za-z0-9]{1,7}", samples: ["z1", "zone1234"])

    /// The edit of an object in `list`, and the task that applies it.
    private static func edits(_ list: String, _ id: String) -> [CallTemplate] {
        [
            CallTemplate(.post, list, when: .when("op", "add"), tasks: [], expectedDrift: ["object"]),
            CallTemplate(
                .put, "\(list)/{\(id)}", when: .when("op", "change"), tasks: [], digest: true,
                expectedDrift: ["object"]),
            CallTemplate(.delete, "\(list)/{\(id)}", when: .when("op", "remove"), tasks: [], expectedDrift: ["object"]),
            CallTemplate(.put, "/cluster/sdn", tasks: ["reloadnetworkall"], id: "", forwards: []),
        ]
    }

    private static var editZone: ActionDefinition {
        .change(
            "sdn_zone_edit", "Add, change or remove a zone of the cluster's network, and apply that", on: [.cluster],
            [op, ParameterDefinition("zone", .text(sdnID), required: true, identity: .name, "the zone's name")]
                + zoneKeys + [removals.only(.when("op", "change"))],
            rules: [.notSetAndListed("delete"), .changesSomething], risk: .high, approval: true,
            because:
                "reloads the network of every node, in tasks that are not waited for; guests on the zone's networks may lose theirs",
            edits("/cluster/sdn/zones", "zone"), object: .at("/cluster/sdn/zones/{zone}"),
            checks: [
                .objectFits, .unreferenced([.rows("/cluster/sdn/vnets", where: "zone", is: "{zone}", name: "vnet")]),
                .carriesAlong(pending),
            ], changes: .object, undo: .edit(),
            needs: [
                Privilege("/sdn/zones", "SDN.Allocate", when: .when("op", "add")),
                Privilege("/sdn/zones/{zone}", "SDN.Allocate"), Privilege("/sdn", "SDN.Allocate"),
            ],
            examples: [
                ["op": "remove", "zone": "lab"],
                ["op": "add", "zone": "lab", "type": "vlan", "bridge": "vmbr0"],
                ["op": "add", "zone": "lab", "type": "evpn", "controller": "c1", "vrf-vxlan": 4000],
                ["op": "add", "zone": "lab", "type": "qinq", "bridge": "vmbr0", "tag": 10],
                ["op": "change", "zone": "lab", "mtu": 1400], ["op": "change", "zone": "lab", "delete": ["mtu"]],
            ])
    }

    private static var editNetwork: ActionDefinition {
        .change(
            "sdn_vnet_edit", "Add, change or remove a network (VNet) of a zone, and apply that", on: [.cluster],
            [
                op, ParameterDefinition("vnet", .text(sdnID), required: true, identity: .name, "the network's name"),
                ParameterDefinition(
                    "zone", .text(sdnID), requiredWhen: .when("op", "add"), when: set, "the zone that it is in"),
                ParameterDefinition("tag", .integer(1...16_777_215), when: set, "its VLAN, or its VNI"),
                ParameterDefinition("alias", .text(.line(256)), when: set, "a name for people"),
                ParameterDefinition("vlanaware", .boolean, when: set, "let guests' VLANs pass"),
                ParameterDefinition("isolate-ports", .boolean, when: set, "keep its guests from each other"),
                removals.only(.when("op", "change")),
            ],
            rules: [.notSetAndListed("delete"), .changesSomething], risk: .high, approval: true,
            because:
                "reloads the network of every node, in tasks that are not waited for; guests on it may lose theirs",
            edits("/cluster/sdn/vnets", "vnet"), object: .at("/cluster/sdn/vnets/{vnet}"),
            checks: [
                .objectFits, .present("zone", at: "/cluster/sdn/zones/{zone}"),
                .unreferenced([
                    .rows("/cluster/sdn/vnets/{vnet}/subnets", name: "subnet"), .networkDevices("{vnet}"),
                ]), .carriesAlong(pending),
            ], changes: .object, undo: .edit(),
            needs: [Privilege("/sdn/zones/{zone}", "SDN.Allocate"), Privilege("/sdn", "SDN.Allocate")],
            examples: [
                ["op": "remove", "vnet": "web"], ["op": "add", "vnet": "web", "zone": "lab", "tag": 10],
                ["op": "change", "vnet": "web", "alias": "x"], ["op": "change", "vnet": "web", "delete": ["alias"]],
            ])
    }

    private static var zoneKeys: [ParameterDefinition] {
        func adding(_ types: String...) -> Condition { .when("op", "add").and(.among("type", types)) }
        func text(
            _ name: String, _ form: TextForm, required: Condition? = nil, _ summary: String
        )
            -> ParameterDefinition
        {
            ParameterDefinition(name, .text(form), requiredWhen: required, when: set, summary)
        }
        func flag(_ name: String, _ summary: String) -> ParameterDefinition {
            ParameterDefinition(name, .boolean, when: set, summary)
        }
        func number(
            _ name: String, _ bounds: ClosedRange<Int>, required: Condition? = nil, _ summary: String
        ) -> ParameterDefinition {
            ParameterDefinition(name, .integer(bounds), requiredWhen: required, when: set, summary)
        }
        return [
            ParameterDefinition(
                "type", .choice(["evpn", "qinq", "simple", "vlan", "vxlan"]), required: true,
                when: .when("op", "add"), identity: .name, "what kind of zone"),
            ParameterDefinition("nodes", .list(.text(.node), upTo: 64), when: set, "only on these nodes"),
            number("mtu", 576...65_520, "MTU of its networks"), text("dns", .word, "DNS server of PVE's"),
            text("reversedns", .word, "DNS server for names of addresses"), text("dnszone", .dnsName, "its domain"),
            text("ipam", .word, "address management"),
            ParameterDefinition("dhcp", .choice(["dnsmasq"]), when: set, "addresses by DHCP, in a simple zone"),
            text("bridge", .interface, required: adding("vlan", "qinq"), "the bridge of a VLAN or QinQ zone"),
            flag("bridge-disable-mac-learning", "only addresses that PVE knows"),
            number("tag", 0...4094, required: adding("qinq"), "service VLAN of a QinQ zone"),
            ParameterDefinition("vlan-protocol", .choice(["802.1q", "802.1ad"]), when: set, "of a QinQ zone"),
            ParameterDefinition("peers", .list(.text(address), upTo: 64), when: set, "nodes of a VXLAN zone"),
            number("vxlan-port", 1...65_535, "UDP port of the tunnels"),
            text("fabric", fabricID, "fabric of a VXLAN zone"),
            number("vrf-vxlan", 1...16_777_215, required: adding("evpn"), "VNI of an EVPN zone"),
            text("controller", .word, required: adding("evpn"), "controller of an EVPN zone"),
            ParameterDefinition("exitnodes", .list(.text(.node), upTo: 64), when: set, "ways out of an EVPN zone"),
            flag("exitnodes-local-routing", "reach the networks from the exit nodes"),
            text("exitnodes-primary", .node, "the exit node that is preferred"),
            flag("advertise-subnets", "announce whole subnets"),
            flag("disable-arp-nd-suppression", "let ARP and ND pass"),
            text("rt-import", .line(512), "route targets that are imported"),
            text(
                "mac", .shape("([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}", samples: ["BC:24:11:00:00:01"]),
                "of the gateway of an EVPN zone"),
        ]
    }
}
