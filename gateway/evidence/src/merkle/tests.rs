//! Known roots and proofs of RFC 6962, and proofs of every tree against a plain recursive definition.

use proptest::prelude::*;

use super::*;

/// Leaves of the reference tree of Certificate Transparency.
const REFERENCE_LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
/// Its roots after 1, 2, … 8 leaves.
const REFERENCE_ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn reference() -> Vec<Digest> {
    REFERENCE_LEAVES.iter().map(|leaf| leaf_hash(&hex::decode(leaf).unwrap())).collect()
}

fn leaves(count: u64) -> Vec<Digest> {
    (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
}

/// MTH of RFC 9162 section 2.1.1, word by word.
fn defined_root(hashes: &[Digest]) -> Digest {
    match hashes {
        [] => Digest::of(b""),
        [one] => *one,
        more => {
            let (left, right) = more.split_at(more.len().next_power_of_two() / 2);
            node_hash(&defined_root(left), &defined_root(right))
        }
    }
}

/// PATH of RFC 9162 section 2.1.3.1, word by word.
fn defined_path(index: usize, hashes: &[Digest]) -> Vec<Digest> {
    if hashes.len() == 1 {
        return Vec::new();
    }
    let split = hashes.len().next_power_of_two() / 2;
    let (left, right) = hashes.split_at(split);
    let (mut path, sibling) = match index.checked_sub(split) {
        None => (defined_path(index, left), right),
        Some(index) => (defined_path(index, right), left),
    };
    path.push(defined_root(sibling));
    path
}

#[test]
fn the_roots_of_the_reference_tree_come_out() {
    assert_eq!(root(&[]).to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    for (size, expected) in (1..).zip(REFERENCE_ROOTS) {
        assert_eq!(root(&reference()[..size]).to_string(), expected, "{size} leaves");
    }
}

#[test]
fn a_tree_grown_in_two_steps_has_the_root_frontier_and_proofs_of_the_definition() {
    for size in 0..=70u64 {
        let hashes = leaves(size);
        for old in 0..=size {
            let (before, new) = hashes.split_at(old as usize);
            let frontier = Growth::new(0, &[], before).frontier();
            let growth = Growth::new(old, &frontier, new);
            assert_eq!(growth.root(), defined_root(&hashes), "{old} then {size}");
            assert_eq!(growth.frontier(), Growth::new(0, &[], &hashes).frontier(), "{old} then {size}");
            for index in old..size {
                assert_eq!(
                    growth.inclusion(index),
                    defined_path(index as usize, &hashes),
                    "leaf {index}: {old} then {size}"
                );
            }
        }
    }
}

#[test]
fn an_inclusion_proof_holds_at_its_own_place_only() {
    for size in 1..=33u64 {
        let hashes = leaves(size);
        let growth = Growth::new(0, &[], &hashes);
        for index in 0..size {
            let proof = growth.inclusion(index);
            let check = |index, size, leaf: &Digest, proof: &[Digest]| {
                verify_inclusion(index, size, leaf, proof, &growth.root()).is_ok()
            };
            let leaf = &hashes[index as usize];
            assert!(check(index, size, leaf, &proof), "leaf {index} of {size}");
            assert!(!check(size, size, leaf, &proof), "outside");
            assert!(!check(index, size, &Digest::of(b"other"), &proof), "another leaf");
            assert!((0..size).all(|other| other == index || !check(other, size, leaf, &proof)), "another index");
            let longer = [proof.as_slice(), &[Digest::of(b"more")]].concat();
            assert!(!check(index, size, leaf, &longer), "a longer proof");
            assert!(proof.is_empty() || !check(index, size, leaf, &proof[1..]), "a shorter proof");
        }
    }
}

#[test]
fn the_reference_consistency_proofs_come_out() {
    let proof =
        |old, new| consistency(old, new, &reference()).unwrap().iter().map(Digest::to_string).collect::<Vec<_>>();
    assert_eq!(proof(1, 1), Vec::<String>::new());
    assert_eq!(
        proof(1, 8),
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ]
    );
    assert_eq!(
        proof(6, 8),
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ]
    );
}

#[test]
fn a_consistency_proof_holds_for_its_two_trees_only() {
    let hashes = leaves(40);
    let roots: Vec<Digest> = (0..=40).map(|size| defined_root(&hashes[..size])).collect();
    for new in 0..=40usize {
        for old in 0..=new {
            let proof = consistency(old as u64, new as u64, &hashes).unwrap();
            let check = |old: usize, old_root: &Digest, new_root: &Digest, proof: &[Digest]| {
                verify_consistency((old as u64, old_root), (new as u64, new_root), proof).is_ok()
            };
            assert!(check(old, &roots[old], &roots[new], &proof), "{old} to {new}");
            let other = Digest::of(b"rewritten");
            assert!(!check(old, &other, &roots[new], &proof), "another old root: {old} to {new}");
            // The empty tree is the beginning of every tree.
            assert!(old == 0 || !check(old, &roots[old], &other, &proof), "another new root: {old} to {new}");
            assert!(
                !check(old, &roots[old], &roots[new], &[proof.as_slice(), &[other]].concat()),
                "longer: {old} to {new}"
            );
            assert!(proof.is_empty() || !check(old, &roots[old], &roots[new], &proof[1..]), "shorter: {old} to {new}");
        }
    }
}

#[test]
fn a_consistency_proof_needs_leaves_that_are_there() {
    assert_eq!(consistency(3, 2, &leaves(4)), Err(EvidenceError::OutOfRange));
    assert_eq!(consistency(1, 5, &leaves(4)), Err(EvidenceError::OutOfRange));
}

proptest! {
    #[test]
    fn a_rewritten_leaf_never_gives_a_consistent_tree(old in 1usize..200, grown in 1usize..200, rewritten: prop::sample::Index) {
        let honest = leaves((old + grown) as u64);
        let mut forged = honest.clone();
        forged[rewritten.index(old)] = Digest::of(b"rewritten");
        let (old_root, new_root) = (root(&honest[..old]), root(&forged));
        for source in [&honest, &forged] {
            let proof = consistency(old as u64, forged.len() as u64, source).unwrap();
            prop_assert!(verify_consistency((old as u64, &old_root), (forged.len() as u64, &new_root), &proof).is_err());
        }
    }

    #[test]
    fn an_arbitrary_proof_never_panics(index: u64, size: u64, nodes in prop::collection::vec(any::<[u8; 32]>(), 0..70)) {
        let proof: Vec<Digest> = nodes.into_iter().map(Digest).collect();
        let root = Digest::of(b"root");
        prop_assert!(verify_inclusion(index, size, &Digest::of(b"leaf"), &proof, &root).is_err());
        let consistent = verify_consistency((index, &root), (size, &Digest::of(b"other")), &proof);
        prop_assert!(consistent.is_err());
    }
}
