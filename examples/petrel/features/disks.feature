Feature: Petrel and the disks of its owner

  Scenario: a disk that is plugged in is left as it is
    Given a disk "notes" of 64 MB is attached
    When I run
      """
      disk=/dev/disk/by-id/usb-QEMU_QEMU_HARDDISK_notes-0:0
      for i in $(seq 60); do [ -b "$disk" ] && break; sleep 1; done
      test -b "$disk" && ! grep -q "$(readlink -f "$disk")" /proc/mounts
      """
    Then it succeeds
    When I run as root "head -c 67108864 /dev/zero | cmp - /dev/disk/by-id/usb-QEMU_QEMU_HARDDISK_notes-0:0"
    Then it succeeds

  # live-boot(7): a disk labelled "persistence" is used if the kernel's command line says so.
  @limit:900
  Scenario: with persistence, work outlives a restart
    Given a disk "home" of 256 MB is attached
    When I run as root
      """
      disk=/dev/disk/by-id/usb-QEMU_QEMU_HARDDISK_home-0:0
      for i in $(seq 60); do [ -b "$disk" ] && break; sleep 1; done
      mkfs.ext4 -q -L persistence "$disk" && mount "$disk" /mnt && echo '/ union' >/mnt/persistence.conf && umount /mnt
      """
    Then it succeeds
    When I leave with "sudo reboot"
    And in the boot menu, I add "persistence" to the kernel's command line
    And the machine has started
    And I run as root "echo mine >/etc/mine && sync"
    Then it succeeds
    When I leave with "sudo reboot"
    And in the boot menu, I add "persistence" to the kernel's command line
    And the machine has started
    And I run "cat /etc/mine"
    Then the output is "mine"
