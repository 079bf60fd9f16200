package import AgentModel
package import StrictJSON

/// Requests for each action that together can take every one of its parameters.
package struct Variant: Sendable, CustomStringConvertible {
    package let action: Action
    package let target: String
    package let params: JSONObject

    package init(action: Action, target: String, params: JSONObject) {
        self.action = action
        self.target = target
        self.params = params
    }

    package var description: String { "\(action) \(target) \(JSON.object(params).text)" }

    /// The request with further parameters.
    package func request(_ more: JSONObject = [:]) throws(RequestError) -> ActionRequest {
        var all = params
        for member in more.members { all[member.key] = member.value }
        return try .sample(action, target, .object(all))
    }

    /// All variants of an action: its least on each target, its other examples, and what the table below adds.
    package static func all(of action: Action) -> [Variant] { byAction[action] ?? [] }

    private static let byAction = Dictionary(uniqueKeysWithValues: Action.allCases.map { ($0, make($0)) })

    private static func make(_ action: Action) -> [Variant] {
        let own = (more[action.rawValue] ?? []).map { Variant(action: action, target: $0.0, params: $0.1) }
        let definition = ActionCatalog.definition(of: action)
        let least = definition.targets.map { form in
            Variant(action: action, target: form.example, params: MinimalRequest.params(of: action))
        }
        let examples = definition.examples.dropFirst().map { params in
            Variant(action: action, target: definition.targets[0].example, params: params)
        }
        return (least + examples + own).filter { (try? $0.request()) != nil }
    }

    /// What cannot be written as one line in the table.
    private static let checksums = ["SUM96": 96, "SUM128": 128].mapValues { String(repeating: "a", count: $0) }

    private static let more = table.split(separator: "\n").reduce(into: [String: [(String, JSONObject)]]()) {
        all, line in
        let parts = line.split(separator: " ", maxSplits: 2)
        var text = String(parts[2])
        for (mark, sum) in checksums where text.contains(mark) {
            text = text.split(separator: mark, maxSplits: 1).joined(separator: sum)
        }
        guard let params = (try? JSON.parse(Array(text.utf8)))?.object else { return }
        all[String(parts[0]), default: []].append((String(parts[1]), params))
    }

    /// Action, target, parameters.
    private static let table = """
        configure_vm vm/101 {"delete":["hostpci0"]}
        configure_vm vm/101 {"name":"x"}
        configure_container lxc/200 {"delete":["mp0"]}
        configure_container lxc/200 {"hostname":"x"}
        tag_vm vm/101 {"remove":["old"]}
        tag_container lxc/200 {"remove":["old"]}
        suspend_vm vm/101 {"todisk":true}
        resize_disk lxc/200 {"disk":"rootfs","size":"+1G"}
        move_disk lxc/200 {"disk":"rootfs","storage":"nas"}
        attach_disk lxc/200 {"disk":"mp0","storage":"nas","size":8,"path":"/srv"}
        attach_disk vm/101 {"disk":"scsi5","volume":"nas:vm-101-disk-1"}
        attach_disk lxc/200 {"disk":"mp1","volume":"nas:vm-200-disk-1","path":"/srv"}
        detach_disk lxc/200 {"disk":"mp0"}
        restore_backup lxc/200 {"archive":"local:backup/vzdump-lxc-200-2026_11_20-03_00_01.tar.zst","node":"pve1"}
        delete_backup storage/local {"volume":"local:backup/vzdump-lxc-200-2026_11_20-03_00_01.tar.zst"}
        delete_backup storage/local-lvm {"volume":"local-lvm:vm-101-disk-0"}
        delete_volume storage/local {"volume":"local:vztmpl/debian-13.tar.zst"}
        delete_volume storage/local-lvm {"volume":"local-lvm:vm-101-disk-0"}
        download_to_storage storage/nas {"url":"https://a.org/a","content":"iso","filename":"a","checksum":"SUM96","checksum-algorithm":"sha384"}
        download_to_storage storage/nas {"url":"https://a.org/a","content":"iso","filename":"a","checksum":"SUM128","checksum-algorithm":"sha512"}
        ha_edit vm/101 {"op":"add"}
        ha_edit vm/101 {"op":"change","state":"stopped"}
        ha_edit vm/101 {"op":"change","delete":["comment"]}
        ha_edit vm/101 {"op":"remove"}
        ha_edit lxc/200 {"op":"add"}
        ha_edit lxc/200 {"op":"change","state":"stopped"}
        ha_edit lxc/200 {"op":"change","delete":["comment"]}
        ha_edit lxc/200 {"op":"remove"}
        ha_edit cluster {"op":"add","rule":"apart","type":"resource-affinity","resources":["vm:101","ct:200"]}
        ha_edit cluster {"op":"change","rule":"apart","type":"resource-affinity","strict":true}
        ha_edit cluster {"op":"change","rule":"apart","type":"node-affinity","delete":["comment"]}
        ha_edit cluster {"op":"remove","rule":"apart"}
        ha_migrate vm/101 {"target":"pve2","mode":"relocate"}
        replication_edit vm/101 {"op":"add","job":0,"target":"pve2"}
        replication_edit vm/101 {"op":"change","job":0,"schedule":"*/30"}
        replication_edit lxc/200 {"op":"change","job":0,"delete":["comment"]}
        bulk_start cluster {"vms":[101,200]}
        bulk_shutdown cluster {"vms":[101,200]}
        bulk_migrate cluster {"vms":[101,200],"target":"pve2"}
        node_service node/pve1 {"service":"sshd","command":"start"}
        node_service node/pve1 {"service":"sshd","command":"stop"}
        node_service node/pve1 {"service":"sshd","command":"reload"}
        read_config vm/101 {"snapshot":"before"}
        read_tasks tasks/all {"node":"pve1"}
        storage_edit storage/nas {"op":"add","type":"dir"}
        storage_edit storage/nas {"op":"change","disable":true}
        storage_edit storage/nas {"op":"change","delete":["nodes"]}
        storage_edit storage/nas {"op":"remove"}
        storage_edit storage/nas {"endpoint":"/storage","method":"POST","params":{"storage":"nas"}}
        storage_edit storage/nas {"endpoint":"/storage/nas","method":"DELETE"}
        firewall_edit firewall/cluster {"op":"change","object":"options","enable":1}
        firewall_edit firewall/cluster {"op":"change","object":"options","delete":["enable"]}
        firewall_edit firewall/cluster {"op":"add","object":"rule","type":"in","action":"ACCEPT"}
        firewall_edit firewall/cluster {"op":"change","object":"rule","pos":0,"enable":1}
        firewall_edit firewall/cluster {"op":"change","object":"rule","pos":0,"delete":["comment"]}
        firewall_edit firewall/cluster {"op":"remove","object":"rule","pos":0}
        firewall_edit firewall/cluster {"op":"add","object":"alias","name":"home","cidr":"192.0.2.1"}
        firewall_edit firewall/cluster {"op":"change","object":"alias","name":"home","cidr":"192.0.2.1"}
        firewall_edit firewall/cluster {"op":"remove","object":"alias","name":"home"}
        firewall_edit firewall/cluster {"op":"add","object":"ipset","name":"home"}
        firewall_edit firewall/cluster {"op":"remove","object":"ipset","name":"home"}
        firewall_edit firewall/cluster {"op":"add","object":"ipset-entry","name":"home","cidr":"192.0.2.1"}
        firewall_edit firewall/cluster {"op":"change","object":"ipset-entry","name":"home","cidr":"192.0.2.1","nomatch":true}
        firewall_edit firewall/cluster {"op":"remove","object":"ipset-entry","name":"home","cidr":"192.0.2.1"}
        firewall_edit firewall/node/pve1 {"op":"change","object":"options","enable":1}
        firewall_edit firewall/node/pve1 {"op":"change","object":"options","delete":["enable"]}
        firewall_edit firewall/node/pve1 {"op":"add","object":"rule","type":"in","action":"ACCEPT"}
        firewall_edit firewall/node/pve1 {"op":"change","object":"rule","pos":0,"enable":1}
        firewall_edit firewall/node/pve1 {"op":"change","object":"rule","pos":0,"delete":["comment"]}
        firewall_edit firewall/node/pve1 {"op":"remove","object":"rule","pos":0}
        firewall_edit firewall/vm/101 {"op":"change","object":"options","enable":1}
        firewall_edit firewall/vm/101 {"op":"change","object":"options","delete":["enable"]}
        firewall_edit firewall/vm/101 {"op":"add","object":"rule","type":"in","action":"ACCEPT"}
        firewall_edit firewall/vm/101 {"op":"change","object":"rule","pos":0,"enable":1}
        firewall_edit firewall/vm/101 {"op":"change","object":"rule","pos":0,"delete":["comment"]}
        firewall_edit firewall/vm/101 {"op":"remove","object":"rule","pos":0}
        firewall_edit firewall/vm/101 {"op":"add","object":"alias","name":"home","cidr":"192.0.2.1"}
        firewall_edit firewall/vm/101 {"op":"change","object":"alias","name":"home","cidr":"192.0.2.1"}
        firewall_edit firewall/vm/101 {"op":"remove","object":"alias","name":"home"}
        firewall_edit firewall/vm/101 {"op":"add","object":"ipset","name":"home"}
        firewall_edit firewall/vm/101 {"op":"remove","object":"ipset","name":"home"}
        firewall_edit firewall/vm/101 {"op":"add","object":"ipset-entry","name":"home","cidr":"192.0.2.1"}
        firewall_edit firewall/vm/101 {"op":"change","object":"ipset-entry","name":"home","cidr":"192.0.2.1","nomatch":true}
        firewall_edit firewall/vm/101 {"op":"remove","object":"ipset-entry","name":"home","cidr":"192.0.2.1"}
        firewall_edit firewall/lxc/200 {"op":"change","object":"options","enable":1}
        firewall_edit firewall/lxc/200 {"op":"change","object":"options","delete":["enable"]}
        firewall_edit firewall/lxc/200 {"op":"add","object":"rule","type":"in","action":"ACCEPT"}
        firewall_edit firewall/lxc/200 {"op":"change","object":"rule","pos":0,"enable":1}
        firewall_edit firewall/lxc/200 {"op":"change","object":"rule","pos":0,"delete":["comment"]}
        firewall_edit firewall/lxc/200 {"op":"remove","object":"rule","pos":0}
        firewall_edit firewall/lxc/200 {"op":"add","object":"alias","name":"home","cidr":"192.0.2.1"}
        firewall_edit firewall/lxc/200 {"op":"change","object":"alias","name":"home","cidr":"192.0.2.1"}
        firewall_edit firewall/lxc/200 {"op":"remove","object":"alias","name":"home"}
        firewall_edit firewall/lxc/200 {"op":"add","object":"ipset","name":"home"}
        firewall_edit firewall/lxc/200 {"op":"remove","object":"ipset","name":"home"}
        firewall_edit firewall/lxc/200 {"op":"add","object":"ipset-entry","name":"home","cidr":"192.0.2.1"}
        firewall_edit firewall/lxc/200 {"op":"change","object":"ipset-entry","name":"home","cidr":"192.0.2.1","nomatch":true}
        firewall_edit firewall/lxc/200 {"op":"remove","object":"ipset-entry","name":"home","cidr":"192.0.2.1"}
        firewall_edit firewall/cluster {"op":"add","object":"group","group":"web"}
        firewall_edit firewall/cluster {"op":"remove","object":"group","group":"web"}
        firewall_edit firewall/cluster {"op":"add","object":"group-rule","group":"web","type":"in","action":"DROP"}
        firewall_edit firewall/cluster {"op":"change","object":"group-rule","group":"web","pos":0,"enable":0}
        firewall_edit firewall/cluster {"op":"remove","object":"group-rule","group":"web","pos":0}
        firewall_edit firewall/cluster {"endpoint":"/cluster/firewall/rules","method":"POST"}
        firewall_edit firewall/cluster {"endpoint":"/cluster/firewall/rules/0","method":"DELETE"}
        """
}
