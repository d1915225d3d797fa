Feature: Petrel keeps to itself

  Scenario: it asks for an address, and for nothing else
    Given these packets went out
      | protocol | destination     | port |
      | udp      | 255.255.255.255 | 67   |
    Then packets went only to
      | protocol | destination     | port | name                     |
      | udp      | 255.255.255.255 | 67   | *                        |
      | udp      | 10.0.2.2        | 67   | *                        |
      | udp      | ff02::1:2       | 547  | *                        |
      | arp      | 10.0.2.*        | 0    | *                        |
      | icmp6    | ff02::*         | 0    | *                        |
      | icmp6    | fe80::*         | 0    | *                        |
      | udp      | 224.0.0.252     | 5355 | *                        |
      | udp      | ff02::1:3       | 5355 | *                        |
      | igmp     | 224.0.0.*       | 0    | *                        |

  Scenario: nobody can reach it but by names of the local network
    Then exactly these ports are open
      | protocol | port |
      | udp      | 68   |
      | udp      | 5355 |
      | tcp      | 5355 |

  Scenario: it has an address
    When I run
      """
      for i in $(seq 60); do ip -4 -o address show scope global | grep -q . && break; sleep 1; done
      ip -4 -o address show scope global | grep -c 'inet 10\.0\.2\.'
      """
    Then the output is "1"
