"""The initrd, the dearest step in series: made in a root of its own, so that only what it is made from makes it anew.

Step `customise` cuts out of the image's root, at its end, the packages that ship something for initramfs-tools, the kernel, and
what these depend on, with the configuration that they may read. What mkinitramfs could read is in that root, so nothing is
forgotten in the key of `initrd`; and a changed hook, include or package of somebody else's leaves it the same, to the byte.
"""

from distwright.images.forms import form_of
from distwright.images.initrd_copying import PREPARE, QUICK
from distwright.jobs.step import Earlier, Inputs, Plan, PlannedCommand
from distwright.model import plain

_TIMEOUT_S = 900

_INITRD = """#!/bin/sh
set -eu
version=$(cd /lib/modules && echo *)
case $version in *' '*|'*') echo "want one kernel in the image, found: $version"; exit 1;; esac
cp "/boot/vmlinuz-$version" vmlinuz
mkdir -p /tmp/initrd
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin TMPDIR=/tmp/initrd LC_ALL=C.UTF-8 TZ=UTC SOURCE_DATE_EPOCH="$SOURCE_DATE_EPOCH" \\
    mkinitramfs -o initrd.img "$version"
"""

# Perl's base is essential, so every image has it. What these packages recommend counts, too, and who depends on them or comes from
# one source with them: without zstd an initrd is silently packed by gzip, and live-boot's hook looks whether live-boot is there.
_CUT = r"""#!/usr/bin/perl
use strict;
use warnings;
my $info = '/var/lib/dpkg/info';
my (%needs, %wants, %provided, %needed_by, %source, %of_source, @seeds);@COUNTS@
{
    local $/ = '';
    open my $status, '<', '/var/lib/dpkg/status' or die "status: $!\n";
    while (my $stanza = <$status>) {
        $stanza =~ s/\n[ \t]+/ /g;
        my %field = $stanza =~ /^([\w-]+):[ \t]*(.*)$/mg;
        next unless ($field{Status} // '') =~ / installed$/;
        my $name = $field{Package};
        push @{$needs{$name}}, map { names($field{$_}) } 'Pre-Depends', 'Depends';
        push @{$needed_by{$_}}, $name for @{$needs{$name}};
        ($source{$name}) = split / /, $field{Source} // $name;
        push @{$of_source{$source{$name}}}, $name;
        push @{$wants{$name}}, map { names($field{$_}) } 'Recommends', 'Suggests';
        push @{$provided{$_}}, $name for names($field{Provides});
        push @seeds, $name if ($field{Essential} // '') eq 'yes';@ESSENTIAL@
    }
}
sub names { return map { s/[ (:].*//r } split /\s*[,|]\s*/, $_[0] // '' }

my %files;
for my $list (glob "$info/*.list") {
    my ($name) = $list =~ m{([^/:]+)(?::[^/]*)?\.list$} or next;
    next unless $needs{$name};
    open my $lines, '<', $list or die "$list: $!\n";
    my @paths = <$lines>;
    chomp @paths;
    push @{$files{$name}}, @paths;
    my $theirs = qr{^(?:/usr)?/(?:share/initramfs-tools|lib/modules|lib/firmware)/.|^/etc/initramfs-tools/.|^/boot/vmlinuz-};
    if (grep { $_ =~ $theirs } @paths) {@SHIPS@
        push @seeds, $name, @{$wants{$name}}, @{$needed_by{$name} // []}, @{$of_source{$source{$name}}};
    }
}
my %chosen;
while (defined(my $name = shift @seeds)) {
    push @seeds, @{$provided{$name} // []};
    next if !$needs{$name} || $chosen{$name}++;
    push @seeds, @{$needs{$name}};
}

# Their files by the names that they really have, / being merged into /usr; and what nobody owns but they may read.
my %take;
sub take {
    my ($path) = @_;
    $path =~ s{^/((?:s?bin|lib(?:32|64|x32)?))(?=/)}{-l "/$1" ? "/usr/$1" : "/$1"}e;
    $path =~ s{/\.$}{};
    return if $path eq '' || $path eq '/' || (!-e $path && !-l $path) || $path =~ /\n/;
    $take{$path} = 1;
    take($path) if $path =~ s{/[^/]+$}{} && $path ne '' && !$take{$path};
}
sub take_below {
    my ($place) = @_;
    take($place);
    return if -l $place || !-d $place;
    opendir my $folder, $place or die "$place: $!\n";
    my @names = grep { !/^\.\.?$/ } readdir $folder;
    closedir $folder;
    take_below("$place/$_") for @names;
}
my %owned = map { $_ => 1 } map { @{$_} } values %files;
take($_) for map { @{$files{$_} // []} } keys %chosen;
# What their maintainer scripts or a person made beside their configuration (keys of dropbear, say) is read as well.
take_below($_) for grep { m{^/etc/[^/]+$} && -d } map { @{$files{$_} // []} } keys %chosen;
@FOLDERS@# A hook or script of initramfs-tools that no package brings may copy anything: then it has all of the image.
my @foreign = grep { -f && !$owned{$_} } map { glob "$_/*" } map { ("$_/hooks", "$_/scripts", "$_/scripts/*") }
    qw(/etc/initramfs-tools /usr/share/initramfs-tools);
take_below($_) for @foreign ? grep { !-l && !m{^/(?:dev|proc|sys|run|tmp)$} } glob '/*' : ();
take_below($_) for qw(/etc/initramfs-tools /etc/live /etc/modprobe.d /etc/modules /etc/modules-load.d /etc/udev /etc/fstab
    /etc/crypttab /etc/default /etc/console-setup /etc/kernel /etc/lvm /etc/mdadm /etc/plymouth /etc/alternatives
    /etc/ld.so.conf /etc/ld.so.conf.d /etc/nsswitch.conf /etc/sysctl.d /etc/systemd/network /etc/cryptsetup-initramfs
    /usr/share/initramfs-tools /usr/lib/modules /usr/lib/firmware /var/lib/dpkg/arch);
for my $place (qw(/usr/bin /usr/sbin)) {
    take($_) for grep { -l && (readlink // '') =~ m{^/etc/alternatives/} } glob "$place/*";
}
take($_) for qw(/bin /sbin /lib /lib32 /lib64 /libx32 /dev /proc /sys /run /tmp /root /var/tmp /var/lib/dpkg/info);
# What is below them is the machine's that runs this, is written by everybody, or is for people to read.
my $left = qr{^/(?:dev|proc|sys|run|tmp|var/(?:log|cache)|usr/share/(?:doc|info|locale|man))/|^/var/lib/dpkg/(?:status|info/.)};
my @names = grep { $_ !~ $left } sort keys %take;
open my $out, '>', 'names' or die "names: $!\n";
print {$out} map { substr($_, 1) . "\0" } @names;
close $out or die "names: $!\n";
"""

# What the recipe or a hook puts beside the files of a package that ships something for initramfs-tools may be copied as they are:
# a script in live-boot's folder, a theme beside plymouth's. Not in folders of everybody, which no hook copies whole.
_IN_THEIR_FOLDERS = {
    "@COUNTS@": "\nmy (%is_essential, %ships);",
    "@ESSENTIAL@": "\n        $is_essential{$name} = 1 if ($field{Essential} // '') eq 'yes';",
    "@SHIPS@": "\n        $ships{$name} = 1;",
    "@FOLDERS@": r"""sub real {
    my ($path) = @_;
    $path =~ s{^/((?:s?bin|lib(?:32|64|x32)?))(?=/|$)}{-l "/$1" ? "/usr/$1" : "/$1"}e;
    return $path;
}
my %owners;
for my $name (keys %files) {
    $owners{$_} += $is_essential{$name} ? 10 : 1 for map { real($_) } @{$files{$name}};
}
take_below($_) for grep { $owners{$_} < 10 && !m{^/(?:etc|boot)(?:/|$)} && !-l && -d }
    map { real($_) } map { @{$files{$_}} } keys %ships;
""",
}


def cut_script(form: int) -> str:
    """Give the program that names what an initrd is made from. From form 5 on also what no package owns, beside what they own."""
    script = _CUT
    for mark, lines in _IN_THEIR_FOLDERS.items():
        script = script.replace(mark, lines if form >= 5 else "")
    return script


# As mmdebstrap packs: nothing is newer than the recipe, and what packages brought is as old as it was, in the initrd as well.
PACK = """#!/bin/sh
set -eu
"${0%/*}/cut.pl"
exec tar --create --file initrd-root.tar --directory / --no-recursion --null --files-from=names \\
    --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" --clamp-mtime \\
    --format=pax --pax-option='exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime'
"""


def plan_initrd(inputs: Inputs, earlier: Earlier) -> Plan:
    """Plan the initrd: made once, by the image's own mkinitramfs."""
    form = form_of(inputs)
    outputs = earlier["customise"].outputs
    root = outputs["root" if form < 3 else "initrd-root"]
    command = PlannedCommand(
        ("./initrd.sh",),
        _TIMEOUT_S,
        root=root,
        environment=(("SOURCE_DATE_EPOCH", str(plain.number(inputs, "epoch"))),),
    )
    write = {"initrd.sh": _INITRD}
    if form >= 5:
        write = {"initrd.sh": _INITRD.replace("exec env", f"{PREPARE}exec env"), "quick.sh": QUICK}
    return Plan((command,), write=write, collect={"vmlinuz": "vmlinuz", "initrd": "initrd.img"})
